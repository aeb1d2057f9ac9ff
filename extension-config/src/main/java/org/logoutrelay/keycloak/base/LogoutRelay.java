package org.logoutrelay.keycloak.base;

import org.keycloak.models.RealmModel;

/** What the extension is called: its event listener, which is switched on realm by realm, and the path of its endpoints. */
public final class LogoutRelay {
    public static final String ID = "logout-relay";

    private LogoutRelay() {
    }

    public static boolean isOn(RealmModel realm) {
        return realm != null && realm.getEventsListenersStream().anyMatch(ID::equals);
    }
}
