package org.logoutrelay.keycloak.rest;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

import org.keycloak.common.util.Time;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.client.Issuers;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.containment.ClientContainment;
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

    /** @param client null for a user, who is no service account; else the user is the client's service account, or null */
    private record Subject(UserModel user, ClientModel client) {
        String id() {
            return user == null ? client.getId() : user.getId();
        }

        Trigger trigger() {
            return client == null ? Trigger.OPERATOR : Trigger.CLIENT_CONTAINED;
        }
    }

    Map<String, Object> answerForUser(String idOrName, boolean dryRun, boolean confirmed, Trigger.Asked asked) {
        return answer(new Subject(user(idOrName), null), dryRun, confirmed, asked);
    }

    Map<String, Object> answerForClient(String idOrClientId, boolean dryRun, boolean confirmed, Trigger.Asked asked) {
        ClientModel byClientId = realm.getClientByClientId(idOrClientId);
        ClientModel client = byClientId == null ? realm.getClientById(idOrClientId) : byClientId;
        if (client == null) {
            throw Problem.refusal(Response.Status.NOT_FOUND, "not_found",
                    "The client is not one of this realm, or no longer: it has neither such a client id nor such an id");
        }
        return answer(new Subject(session.users().getServiceAccount(client), client), dryRun, confirmed, asked);
    }

    /** What dies, or would: sessions, relying parties that are told, sessions whose client cannot be told. */
    private Map<String, Object> answer(Subject subject, boolean dryRun, boolean confirmed, Trigger.Asked asked) {
        Policy policy = Policy.of(session, realm);
        Optional<Set<Policy.Step>> steps = policy.steps(subject.trigger());
        if (steps.isEmpty()) {
            throw Problem.refusal(Response.Status.CONFLICT, "policy_off", "Nothing is done on anybody's word here: the realm attribute"
                    + " logout-relay.policy." + subject.trigger().id() + " is off");
        }
        long others = Outbox.askedSince(session, realm.getId(), subject.id(),
                Time.currentTimeMillis() - policy.operatorWindowMs());
        boolean tooMany = others >= policy.operatorLimit();
        if (tooMany && !dryRun && !confirmed) {
            throw Problem.refusal(Response.Status.CONFLICT, "confirmation_required", others + " users were signed out on"
                    + " somebody's word within " + policy.operatorWindowMs() / 1000 + " seconds, and the realm's limit is "
                    + policy.operatorLimit() + ": whoever has the role confirm of the client logout-relay must confirm more");
        }
        Collection<ListedSession> sessions = subject.user() == null ? List.of()
                : Listing.preview(session, realm, subject.user(), Time.currentTimeMillis(), Issuers.of(session, realm),
                        policy.sparedClients(steps.get()));
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("subject", subject.id());
        if (subject.client() != null) {
            answer.put("client_id", subject.client().getClientId());
        }
        answer.put("sessions", sessions.size());
        answer.put("relying_parties", sessions.stream().filter(s -> s.logoutUri() != null).map(ListedSession::clientId)
                .distinct().count());
        answer.put("unreachable", sessions.stream().filter(s -> s.logoutUri() == null).count());
        answer.put("dry_run", dryRun);
        answer.put("shadow", policy.isShadow());
        answer.put("confirmation_required", tooMany);
        if (!dryRun) {
            answer.put("txn", asked.txn());
            AllOrNothing.of(session, afterCommit).run(() -> contain(subject, asked));
        }
        return answer;
    }

    private AllOrNothing.Recording contain(Subject subject, Trigger.Asked asked) {
        String issuer = Issuers.of(session, realm);
        return subject.client() == null
                ? Containment.begin(session, realm, subject.user(), new Trigger.Match(subject.trigger(), subject.id(), asked), issuer,
                        null, Containment.Fate.STAYS)
                : ClientContainment.begin(session, realm, subject.client(), subject.user(), subject.trigger(), asked, null, issuer);
    }

    private UserModel user(String idOrName) {
        UserModel byId = session.users().getUserById(realm, idOrName);
        UserModel user = byId == null ? session.users().getUserByUsername(realm, idOrName) : byId;
        if (user == null) {
            throw Problem.refusal(Response.Status.NOT_FOUND, "not_found",
                    "The user is not one of this realm, or no longer: it has neither such an id nor such a user name");
        }
        if (user.getServiceAccountClientLink() != null) {
            throw Problem.badRequest("user is the service account of a client; give client instead");
        }
        return user;
    }
}
