package org.logoutrelay.keycloak.gate;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.models.UserSessionProvider;

/** Keycloak's own store of user sessions, past the gate: what is dead is seen here. For our own looks only. */
public final class SessionStore {
    private SessionStore() {
    }

    /** A session in the store that is dead and may go. */
    public record Dead(String realmId, String sid) {
    }

    public static UserSessionProvider of(KeycloakSession session) {
        return session.getProvider(UserSessionProvider.class);
    }

    /** The online and the offline session of that id. */
    public static Stream<UserSessionModel> withId(KeycloakSession session, RealmModel realm, String sid) {
        UserSessionProvider store = of(session);
        return Stream.of(Optional.ofNullable(store.getUserSession(realm, sid)),
                Optional.ofNullable(store.getOfflineUserSession(realm, sid))).flatMap(Optional::stream);
    }

    /** What the user has from before the watermark. */
    public static List<UserSessionModel> fromBefore(KeycloakSession session, RealmModel realm, UserModel user, long watermarkMs) {
        List<UserSessionModel> old = new ArrayList<>();
        // Collected before any is removed: both streams read from the store that the removal changes.
        UserSessionProvider store = of(session);
        store.getUserSessionsStream(realm, user).forEach(old::add);
        store.getOfflineUserSessionsStream(realm, user).forEach(old::add);
        old.removeIf(found -> Logins.began(found) > watermarkMs);
        return old;
    }

    /** Cleans up: asks Keycloak to remove this session, the online and the offline one of that id. */
    public static void remove(KeycloakSession session, Dead dead, long watermarkMs, Spared left) {
        RealmModel realm = session.realms().getRealm(dead.realmId());
        if (realm == null) {
            return;
        }
        session.getContext().setRealm(realm);
        UserSessionProvider store = of(session);
        withId(session, realm, dead.sid()).filter(found -> Logins.began(found) <= watermarkMs && !left.isSpared(found))
                .toList().forEach(found -> {
                    if (found.isOffline()) {
                        store.removeOfflineUserSession(realm, found);
                    } else {
                        store.removeUserSession(realm, found);
                    }
                });
    }
}
