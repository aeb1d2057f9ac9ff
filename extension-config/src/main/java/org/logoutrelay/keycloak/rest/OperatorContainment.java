package org.logoutrelay.keycloak.rest;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

import org.keycloak.common.util.Time;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.client.Issuers;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.containment.Containment;
import org.logoutrelay.keycloak.containment.Listing;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.Trigger;

import jakarta.ws.rs.core.Response;

/** A containment because somebody says so, and not because anything has changed. */
final class OperatorContainment {
    private final KeycloakSession session;
    private final RealmModel realm;
    private final AllOrNothing.Committed afterCommit;

    OperatorContainment(KeycloakSession session, RealmModel realm, AllOrNothing.Committed afterCommit) {
        this.session = session;
        this.realm = realm;
        this.afterCommit = afterCommit;
    }

    /** What dies, or would: sessions, relying parties that are told, sessions whose client cannot be told. */
    Map<String, Object> answer(String idOrName, boolean dryRun, boolean confirmed, Trigger.Asked asked) {
        UserModel user = user(idOrName);
        Policy policy = Policy.of(session, realm);
        Optional<Set<Policy.Step>> steps = policy.steps(Trigger.OPERATOR);
        if (steps.isEmpty()) {
            throw Problem.refusal(Response.Status.CONFLICT, "policy_off",
                    "Nothing is done on anybody's word here: the realm attribute logout-relay.policy.operator is off");
        }
        long others = Outbox.askedSince(session, realm.getId(), user.getId(),
                Time.currentTimeMillis() - policy.operatorWindowMs());
        boolean tooMany = others >= policy.operatorLimit();
        if (tooMany && !dryRun && !confirmed) {
            throw Problem.refusal(Response.Status.CONFLICT, "confirmation_required", others + " users were signed out on"
                    + " somebody's word within " + policy.operatorWindowMs() / 1000 + " seconds, and the realm's limit is "
                    + policy.operatorLimit() + ": whoever has the role confirm of the client logout-relay must confirm more");
        }
        Collection<ListedSession> sessions = Listing.preview(session, realm, user, Time.currentTimeMillis(),
                Issuers.of(session, realm), policy.sparedClients(steps.get()));
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("subject", user.getId());
        answer.put("sessions", sessions.size());
        answer.put("relying_parties", sessions.stream().filter(s -> s.logoutUri() != null).map(ListedSession::clientId)
                .distinct().count());
        answer.put("unreachable", sessions.stream().filter(s -> s.logoutUri() == null).count());
        answer.put("dry_run", dryRun);
        answer.put("shadow", policy.isShadow());
        answer.put("confirmation_required", tooMany);
        if (!dryRun) {
            answer.put("txn", asked.txn());
            AllOrNothing.of(session, afterCommit).run(() -> Containment.begin(session, realm, user,
                    new Trigger.Match(Trigger.OPERATOR, user.getId(), asked),
                    Issuers.of(session, realm), null, Containment.Fate.STAYS));
        }
        return answer;
    }

    private UserModel user(String idOrName) {
        UserModel byId = session.users().getUserById(realm, idOrName);
        UserModel user = byId == null ? session.users().getUserByUsername(realm, idOrName) : byId;
        if (user == null) {
            throw Problem.refusal(Response.Status.NOT_FOUND, "not_found",
                    "The user is not one of this realm, or no longer: it has neither such an id nor such a user name");
        }
        if (user.getServiceAccountClientLink() != null) {
            throw Problem.badRequest("user is the service account of a client; disable the client or rotate its secret");
        }
        return user;
    }
}
