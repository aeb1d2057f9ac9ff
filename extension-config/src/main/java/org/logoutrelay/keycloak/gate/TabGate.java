package org.logoutrelay.keycloak.gate;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Map;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.sessions.AuthenticationSessionModel;
import org.keycloak.sessions.AuthenticationSessionProvider;
import org.keycloak.sessions.RootAuthenticationSessionModel;
import org.logoutrelay.keycloak.base.LogoutRelay;

/**
 * Keycloak's store of what is under way: a browser (root authentication session) with its tabs (authentication sessions).
 * A tab that got its user before that user's watermark is taken out before anything acts on it or mails: logins, required
 * actions, links of accounts, consents, registrations, approvals, whatever way they came.
 *
 * <p>{@link Tabs} knows since when a tab has its user. Mailed links are judged here, too: Keycloak asks for a tab first.
 */
final class TabGate {
    private final KeycloakSession session;
    private final AuthenticationSessionProvider store;

    private TabGate(KeycloakSession session, AuthenticationSessionProvider store) {
        this.session = session;
        this.store = store;
    }

    static AuthenticationSessionProvider of(KeycloakSession session, AuthenticationSessionProvider store) {
        TabGate gate = new TabGate(session, store);
        return store == null ? null : (AuthenticationSessionProvider) Proxy.newProxyInstance(TabGate.class.getClassLoader(),
                new Class<?>[] {AuthenticationSessionProvider.class}, (proxy, method, args) -> gate.call(method, args));
    }

    private Object call(Method method, Object[] args) throws Throwable {
        RealmModel realm = args != null && args.length > 0 && args[0] instanceof RealmModel given ? given : null;
        boolean isOn = LogoutRelay.isOn(realm) && !method.getName().startsWith("on");
        if (isOn) {
            MailedLink.refuseOld(session, Gate.of(session), realm);
        }
        Object found = invoke(method, args);
        if (!isOn || !(found instanceof RootAuthenticationSessionModel browser)) {
            return found;
        }
        RootAuthenticationSessionModel left = withoutOldTabs(realm, browser);
        // One store answers with a browser that is there, when it is asked to make one under its id.
        return left == null && method.getName().startsWith("create") ? invoke(method, args) : left;
    }

    private Object invoke(Method method, Object[] args) throws Throwable {
        try {
            return method.invoke(store, args);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    /** @return null where none is left: Keycloak then has forgotten the browser */
    private RootAuthenticationSessionModel withoutOldTabs(RealmModel realm, RootAuthenticationSessionModel browser) {
        Gate gate = Gate.of(session);
        Map<String, AuthenticationSessionModel> tabs = browser.getAuthenticationSessions();
        List<AuthenticationSessionModel> old = tabs.values().stream()
                .filter(tab -> Tabs.login(gate, realm, tab).flatMap(gate::deadBy).map(row -> {
                    Refusals.count(session, realm, Tabs.userId(tab), Refusals.LOGIN, row);
                    return true;
                }).orElse(false)).toList();
        old.forEach(tab -> browser.removeAuthenticationSessionByTabId(tab.getTabId()));
        if (!old.isEmpty() && old.size() == tabs.size()) {
            return null;
        }
        gate.atCommit().watch(realm, browser);
        return browser;
    }
}
