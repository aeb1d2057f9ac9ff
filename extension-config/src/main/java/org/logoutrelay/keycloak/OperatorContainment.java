package org.logoutrelay.keycloak;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;

import org.keycloak.common.util.Time;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;

/** A containment because somebody says so, and not because anything has changed. */
final class OperatorContainment {
    private final KeycloakSession session;
    private final RealmModel realm;
    private final AfterCommit afterCommit;

    OperatorContainment(KeycloakSession session, RealmModel realm, AfterCommit afterCommit) {
        this.session = session;
        this.realm = realm;
        this.afterCommit = afterCommit;
    }

    /** What dies, or would: sessions, relying parties that are told, sessions whose client cannot be told. */
    Map<String, Object> answer(String idOrName, boolean dryRun) {
        UserModel user = user(idOrName);
        Collection<ListedSession> sessions = Containment.preview(session, realm, user, Time.currentTimeMillis(),
                LogoutRelayListener.issuer(session, realm));
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("subject", user.getId());
        answer.put("sessions", sessions.size());
        answer.put("relying_parties", sessions.stream().filter(s -> s.logoutUri() != null).map(ListedSession::clientId)
                .distinct().count());
        answer.put("unreachable", sessions.stream().filter(s -> s.logoutUri() == null).count());
        answer.put("dry_run", dryRun);
        if (!dryRun) {
            AllOrNothing.of(session, afterCommit).run(() -> {
                AllOrNothing.Recording recording = Containment.begin(session, realm, user,
                        new Trigger.Match(Trigger.OPERATOR, user.getId()), LogoutRelayListener.issuer(session, realm), null, false);
                if (recording == null) {
                    throw new AllOrNothing.Refusal("The realm's policy has nothing done on the trigger operator");
                }
                return recording;
            });
        }
        return answer;
    }

    private UserModel user(String idOrName) {
        UserModel byId = session.users().getUserById(realm, idOrName);
        UserModel user = byId == null ? session.users().getUserByUsername(realm, idOrName) : byId;
        if (user == null) {
            throw Endpoints.badRequest("user is not one of this realm: neither an id nor a user name");
        }
        if (user.getServiceAccountClientLink() != null) {
            throw Endpoints.badRequest("user is the service account of a client; disable the client or rotate its secret");
        }
        return user;
    }
}
