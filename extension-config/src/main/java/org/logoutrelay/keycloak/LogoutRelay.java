package org.logoutrelay.keycloak;

import org.keycloak.models.RealmModel;

/** What the extension is called: its event listener, which is switched on realm by realm, and the path of its endpoints. */
final class LogoutRelay {
    static final String ID = "logout-relay";

    private LogoutRelay() {
    }

    static boolean isOn(RealmModel realm) {
        return realm != null && realm.getEventsListenersStream().anyMatch(ID::equals);
    }
}
