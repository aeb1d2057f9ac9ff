package org.logoutrelay.keycloak.containment;

import java.util.List;
import java.util.stream.Stream;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.logoutrelay.keycloak.gate.Logins;
import org.logoutrelay.keycloak.gate.SessionStore;
import org.logoutrelay.keycloak.gate.Spared;
import org.logoutrelay.keycloak.ledger.Ledger;
import org.logoutrelay.keycloak.outbox.OutboxRow;
import org.logoutrelay.keycloak.outbox.SecurityEvent;

/** What is left of an event in Keycloak's store: dead by the watermark, and to be cleaned up. */
public final class Remains {
    private Remains() {
    }

    /** The subject's own sessions from before the event, but for what goes on after it by right. */
    static List<UserSessionModel> sessions(KeycloakSession session, RealmModel realm, UserModel user, OutboxRow event) {
        return user == null ? List.of() : SessionStore.fromBefore(session, realm, user, event.watermarkMs()).stream()
                .filter(found -> !Logins.spared(found).contains(event.event().txn())).toList();
    }

    /** What there is to remove: the user's sessions, those opened as others, or the one that the event is about. */
    public static List<SessionStore.Dead> of(KeycloakSession session, RealmModel realm, OutboxRow event) {
        SecurityEvent what = event.event();
        if (what.shadow()) {
            return List.of();
        }
        if (what.sid() != null) {
            return SessionStore.withId(session, realm, what.sid()).map(found -> new SessionStore.Dead(realm.getId(), what.sid()))
                    .limit(1).toList();
        }
        UserModel user = session.users().getUserById(realm, what.userId());
        Spared left = event.spared();
        Stream<SessionStore.Dead> own = sessions(session, realm, user, event).stream().filter(found -> !left.isSpared(found))
                .map(found -> new SessionStore.Dead(realm.getId(), found.getId()));
        Stream<SessionStore.Dead> asOthers = Ledger.openedAsOthersAnywhere(session, what.userId(), event.watermarkMs()).stream()
                .filter(opened -> {
                    RealmModel there = session.realms().getRealm(opened.realmId());
                    return there != null && SessionStore.withId(session, there, opened.sid())
                            .anyMatch(found -> Logins.began(found) <= event.watermarkMs());
                }).map(opened -> new SessionStore.Dead(opened.realmId(), opened.sid()));
        return Stream.concat(own, asOthers).distinct().toList();
    }

    /** Of offline sessions that are spared for one client, ends what other clients have in them. */
    public static void endOthersInSpared(KeycloakSession session, RealmModel realm, OutboxRow event) {
        Spared left = event.spared();
        UserModel user = left.clients().isEmpty() ? null : session.users().getUserById(realm, event.event().userId());
        if (user != null) {
            SessionStore.fromBefore(session, realm, user, event.watermarkMs()).stream().filter(left::isSpared)
                    .forEach(left::endOthers);
        }
    }
}
