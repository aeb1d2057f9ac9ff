package org.logoutrelay.keycloak.upstream;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.logoutrelay.keycloak.gate.Watermarks;
import org.logoutrelay.keycloak.ledger.Ledger;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.trigger.Policy;

/** The realms behind this one, each of which takes its logins by a client of this realm, and who of this realm they may name. */
final class Behind {
    private Behind() {
    }

    /** Those whom it has, and so nobody who has never logged in there. None where the policy does not name its client. */
    static List<UserModel> users(KeycloakSession session, RealmModel realm, Policy policy, Upstreams.Word word) {
        ClientModel client = policy.hearsDownstream(word.client()) ? realm.getClientByClientId(word.client()) : null;
        Map<String, UserModel> found = new LinkedHashMap<>();
        for (Upstreams.Subject subject : client == null ? List.<Upstreams.Subject>of() : word.subjects()) {
            UserModel user = subject.sub() == null ? null : session.users().getUserById(realm, subject.sub());
            if (user != null && Ledger.hasBeenAt(session, realm.getId(), user.getId(), client.getId())) {
                found.putIfAbsent(user.getId(), user);
            }
        }
        return List.copyOf(found.values());
    }

    /**
     * Whether the word has come round in a circle, or all that it could end has ended by another event.
     *
     * @param steps beyond the sessions, which another event need not have taken
     */
    static boolean isKnown(KeycloakSession session, WordRow word, String realmId, Set<Policy.Step> steps) {
        return steps.isEmpty() && Watermarks.haveEnded(session, realmId, word.userId, word.atMs)
                || Outbox.hasEnded(session, realmId, word.userId, word.upstreamTxn, word.atMs - Outbox.KEEP_MS);
    }
}
