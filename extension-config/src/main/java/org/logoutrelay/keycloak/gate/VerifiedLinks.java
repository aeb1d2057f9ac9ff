package org.logoutrelay.keycloak.gate;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.SingleUseObjectProvider;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.LogoutRelay;

/**
 * Keycloak's store of single-use objects, with a date on one kind: who has opened the mailed link that allows an account at
 * another identity provider to be linked. Keycloak keeps that without saying when, for any login that is begun anew, so a link
 * opened before a reset could be used after it.
 */
final class VerifiedLinks {
    private static final String PREFIX = "kc.brokering.user.verified.";
    private static final String OPENED = "opened";

    private final KeycloakSession session;
    private final SingleUseObjectProvider store;

    private VerifiedLinks(KeycloakSession session, SingleUseObjectProvider store) {
        this.session = session;
        this.store = store;
    }

    static SingleUseObjectProvider of(KeycloakSession session, SingleUseObjectProvider store) {
        VerifiedLinks links = new VerifiedLinks(session, store);
        return store == null ? null : (SingleUseObjectProvider) Proxy.newProxyInstance(VerifiedLinks.class.getClassLoader(),
                new Class<?>[] {SingleUseObjectProvider.class}, (proxy, method, args) -> links.call(method, args));
    }

    private Object call(Method method, Object[] args) throws Throwable {
        RealmModel realm = session.getContext().getRealm();
        boolean isOurs = args != null && args[0] instanceof String key && key.startsWith(PREFIX) && LogoutRelay.isOn(realm);
        if (isOurs && method.getName().equals("put")) {
            Map<String, String> dated = args[2] instanceof Map<?, ?> notes ? copy(notes) : new HashMap<>();
            dated.put(OPENED, Long.toString(DbClock.now(session)));
            args[2] = dated;
        }
        Object found = invoke(method, args);
        if (isOurs && found instanceof Map<?, ?> notes && isOld(realm, (String) args[0], notes)) {
            return null;
        }
        if (isOurs && found instanceof Boolean there && there) {
            Map<String, String> notes = store.get((String) args[0]);
            return notes == null || !isOld(realm, (String) args[0], notes);
        }
        return found;
    }

    private static Map<String, String> copy(Map<?, ?> notes) {
        Map<String, String> copy = new HashMap<>();
        notes.forEach((name, value) -> copy.put((String) name, (String) value));
        return copy;
    }

    private Object invoke(Method method, Object[] args) throws Throwable {
        try {
            return method.invoke(store, args);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    private boolean isOld(RealmModel realm, String key, Map<?, ?> notes) {
        String user = user(realm, key.substring(PREFIX.length()));
        Object opened = notes.get(OPENED);
        return user != null && Gate.of(session).deadBy(new Gate.Login(realm, user, null,
                opened == null ? 0 : Long.parseLong((String) opened), Set.of(), null, null)).isPresent();
    }

    /** The key is the user's id, with what it is linked to behind a dot; a federated user's id may have dots of its own. */
    private String user(RealmModel realm, String rest) {
        for (int dot = rest.indexOf('.'); dot > 0; dot = rest.indexOf('.', dot + 1)) {
            if (session.users().getUserById(realm, rest.substring(0, dot)) != null) {
                return rest.substring(0, dot);
            }
        }
        return null;
    }
}
