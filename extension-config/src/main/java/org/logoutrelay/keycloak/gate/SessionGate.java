package org.logoutrelay.keycloak.gate;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.Optional;
import java.util.stream.Stream;

import org.keycloak.models.ImpersonationSessionNote;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.models.UserSessionModel.SessionPersistenceState;
import org.keycloak.models.UserSessionProvider;
import org.logoutrelay.keycloak.base.LogoutRelay;

/**
 * Keycloak's store of user sessions, without those that are dead: whatever asks for one (refresh, exchange, single sign-on,
 * code, introspection, userinfo, account and admin API, and any grant of tomorrow) does not get it. A proxy, since newer
 * versions of Keycloak add methods to the interface.
 *
 * <p>A new session is judged where it is made, by the oldest proof that its login goes by.
 */
final class SessionGate {
    private static final int ID = 0;
    private static final int REMEMBER_ME = 6;
    private static final int BROKER_SESSION = 7;
    private static final int BROKER_USER = 8;
    private static final int STATE = 9;

    private final KeycloakSession session;
    private final UserSessionProvider store;

    private SessionGate(KeycloakSession session, UserSessionProvider store) {
        this.session = session;
        this.store = store;
    }

    static UserSessionProvider of(KeycloakSession session, UserSessionProvider store) {
        SessionGate gate = new SessionGate(session, store);
        return store == null ? null : (UserSessionProvider) Proxy.newProxyInstance(SessionGate.class.getClassLoader(),
                new Class<?>[] {UserSessionProvider.class}, (proxy, method, args) -> gate.call(method, args));
    }

    private Object call(Method method, Object[] args) throws Throwable {
        if (method.getName().equals("createUserSession")) {
            return create(args.length == STATE + 1 ? args.clone() : withId(args));
        }
        Object found = invoke(method, args);
        if (method.getName().equals("createOfflineUserSession")) {
            // From here on it has a time of its own, younger than the login that it comes from.
            Logins.stamp((UserSessionModel) found, (UserSessionModel) args[0]);
            return found;
        }
        if (found instanceof UserSessionModel one) {
            Gate.Login login = login(one);
            Optional<WatermarkRow> killer = login == null ? Optional.empty() : Gate.of(session).deadBy(login);
            killer.ifPresent(row -> Refusals.count(session, one, row));
            if (login != null && killer.isEmpty()) {
                Gate.of(session).pass(login);
            }
            return killer.isPresent() ? null : one;
        }
        if (found instanceof Stream<?> many) {
            return many.filter(one -> !(one instanceof UserSessionModel listed) || isAlive(login(listed)));
        }
        return found;
    }

    private boolean isAlive(Gate.Login login) {
        return login == null || Gate.of(session).deadBy(login).isEmpty();
    }

    private Object invoke(Method method, Object[] args) throws Throwable {
        try {
            return method.invoke(store, args);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    /** The deprecated form of the call, which leaves the id to the store. */
    private static Object[] withId(Object[] args) {
        Object[] all = new Object[STATE + 1];
        System.arraycopy(args, 0, all, 1, args.length);
        all[STATE] = SessionPersistenceState.PERSISTENT;
        return all;
    }

    /** Null where nothing is judged: the listener is off, or the user is gone, and then the session is worth nothing. */
    private static Gate.Login login(UserSessionModel found) {
        UserModel user = LogoutRelay.isOn(found.getRealm()) ? found.getUser() : null;
        return user == null ? null : new Gate.Login(found.getRealm(), user.getId(), found.getId(), Logins.began(found),
                Logins.spared(found), found.getNote(ImpersonationSessionNote.IMPERSONATOR_ID.toString()), found);
    }

    private UserSessionModel create(Object[] args) {
        RealmModel realm = (RealmModel) args[1];
        UserModel user = (UserModel) args[2];
        SessionPersistenceState state = (SessionPersistenceState) args[STATE];
        boolean isTransient = state == SessionPersistenceState.TRANSIENT;
        if (!LogoutRelay.isOn(realm) || user == null || isTransient && Gate.of(session).hasPassed((String) args[ID])) {
            // The last is a copy, for this request, of a session that has been judged; its notes follow.
            return create(args, realm, user, state);
        }
        Gate gate = Gate.of(session);
        long newest = gate.newest(realm, user.getId());
        boolean hadReset = newest > 0;
        if (hadReset && ClientProof.isOutOfDate(session, realm, user, newest)) {
            throw Refusals.notYet();
        }
        Beginning beginning = Beginning.ofNewSession(session, gate, user, (String) args[ID]);
        Gate.Login login = new Gate.Login(realm, user.getId(), (String) args[ID], beginning.ms(), beginning.spared(), null, null);
        gate.deadBy(login).ifPresent(row -> {
            throw Refusals.refuse(session, realm, user, row, beginning);
        });
        UserSessionModel before = beginning.sid() == null ? null : goesOnFrom(realm, user, (String) args[ID]);
        if (!isTransient && hadReset) {
            // Codes, tokens and cookies name sessions by id. What was given out under an id must not count again.
            args[ID] = beginning.sid();
        }
        if (before != null) {
            args[REMEMBER_ME] = (boolean) args[REMEMBER_ME] || before.isRememberMe();
            args[BROKER_SESSION] = args[BROKER_SESSION] == null ? before.getBrokerSessionId() : args[BROKER_SESSION];
            args[BROKER_USER] = args[BROKER_USER] == null ? before.getBrokerUserId() : args[BROKER_USER];
        }
        UserSessionModel made = create(args, realm, user, state);
        if (before != null) {
            // When and how the person has logged in, and as whom.
            before.getNotes().forEach(made::setNote);
        }
        Logins.stamp(made, beginning);
        gate.atCommit().watchNew(login);
        return made;
    }

    /** The session, dead by now, in which a person has changed a credential of their own, and whose login goes on. */
    private UserSessionModel goesOnFrom(RealmModel realm, UserModel user, String id) {
        UserSessionModel old = id == null ? null : store.getUserSession(realm, id);
        return old == null || old.getUser() == null || !old.getUser().getId().equals(user.getId()) ? null : old;
    }

    private UserSessionModel create(Object[] args, RealmModel realm, UserModel user, SessionPersistenceState state) {
        return store.createUserSession((String) args[ID], realm, user, (String) args[3], (String) args[4], (String) args[5],
                (boolean) args[REMEMBER_ME], (String) args[BROKER_SESSION], (String) args[BROKER_USER], state);
    }
}
