package org.logoutrelay.keycloak.containment;

import java.util.Map;
import java.util.Optional;
import java.util.Set;

import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.gate.Watermarks;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.outbox.OutboxRow;
import org.logoutrelay.keycloak.outbox.SecurityEvent;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.Trigger;

/**
 * What a security event does to a client. Its service account is a user, and is contained as one; a client without one is
 * the subject itself, by Keycloak's own id of it.
 */
public final class ClientContainment {
    /** Longer than the second in which two times of Keycloak's cannot be told from each other. */
    private static final long ANEW_MS = 5_000;

    private ClientContainment() {
    }

    /**
     * @param asked who asked for it, or null where it just happened
     * @param atMs up to when what the client has ends, or null for up to now
     */
    public static AllOrNothing.Recording begin(KeycloakSession session, RealmModel realm, ClientModel client, UserModel account,
            Trigger trigger, Trigger.Asked asked, Long atMs, String issuer) {
        if (account != null) {
            return Containment.begin(session, realm, account, new Trigger.Match(trigger, account.getId(), null, null, asked, null, atMs),
                    issuer, null, Containment.Fate.STAYS);
        }
        Policy policy = Policy.of(session, realm);
        Optional<Set<Policy.Step>> steps = policy.steps(trigger);
        ClientSteps ending = steps.map(some -> ClientSteps.of(session, realm, client, some)).orElse(null);
        if (ending == null || ending.isNothing()) {
            return AllOrNothing.Recording.NOTHING;
        }
        long watermarkMs = atMs != null ? atMs : DbClock.endOfSecond(DbClock.measure(session.getKeycloakSessionFactory()));
        return () -> append(session, realm, new Trigger.Match(trigger, client.getId(), null, null, asked, null, atMs), issuer, ending,
                policy.isShadow() ? Map.of() : ending.run(watermarkMs), watermarkMs, policy.isShadow());
    }

    /** The same of one that is gone, with all that it had at Keycloak: for whoever judges its tokens without Keycloak. */
    public static AllOrNothing.Recording gone(KeycloakSession session, RealmModel realm, String uuid, String clientId, Trigger trigger,
            String issuer) {
        Policy policy = Policy.of(session, realm);
        Set<Policy.Step> steps = policy.steps(trigger).orElse(Set.of());
        if (!steps.contains(Policy.Step.PEOPLE)) {
            return AllOrNothing.Recording.NOTHING;
        }
        long watermarkMs = DbClock.endOfSecond(DbClock.measure(session.getKeycloakSessionFactory()));
        return () -> append(session, realm, new Trigger.Match(trigger, uuid), issuer,
                ClientSteps.ofDeleted(session, uuid, clientId, steps), Map.of(), watermarkMs, policy.isShadow());
    }

    /**
     * A service account that is made. Keycloak finds that of a token without a session by its name as well, so what a client of
     * the same name had before would be this one's. If that has ended in this very second, as where an import replaces a client,
     * so has what is issued in it; else the old is from an earlier second, and what is issued now counts at once.
     */
    public static AllOrNothing.Recording made(KeycloakSession session, ClientModel client) {
        RealmModel realm = client.getRealm();
        UserModel account = session.users().getServiceAccount(client);
        if (account == null || Policy.of(session, realm).isShadow()) {
            return AllOrNothing.Recording.NOTHING;
        }
        return () -> {
            long now = DbClock.now(session);
            if (!Outbox.hasEnded(session, realm.getId(), client.getClientId(), now - ANEW_MS)) {
                Containment.setNotBefore(session, realm, account, Containment.notBefore(session, now) - 1);
                return null;
            }
            long watermarkMs = DbClock.endOfSecond(DbClock.measure(session.getKeycloakSessionFactory()));
            Jpa.em(session).persist(Watermarks.row(realm.getId(), account.getId(), null, watermarkMs, Ids.next(), Set.of()));
            Containment.setNotBefore(session, realm, account, Containment.notBefore(session, watermarkMs));
            return null;
        };
    }

    private static String append(KeycloakSession session, RealmModel realm, Trigger.Match match, String issuer, ClientSteps ending,
            Map<String, Integer> done, long watermarkMs, boolean shadow) {
        String txn = match.asked() == null ? Ids.next() : match.asked().txn();
        if (!shadow) {
            // Nobody logs in as a client. It is for the other nodes, which forget what they remember of it.
            Jpa.em(session).persist(Watermarks.row(realm.getId(), match.userId(), null, watermarkMs, txn, Set.of()));
        }
        OutboxRow row = new OutboxRow(SecurityEvent.of(match, txn, realm.getId(), match.userId(), issuer, false, shadow, null,
                ending.clientId(), ending.endsAllTokens() && !shadow), watermarkMs);
        row.steps(done);
        Outbox.append(session, row);
        return txn;
    }

    /**
     * The old secret works until the commit. A token that was issued for it in a later second than the event's has no session
     * that could be judged, so not-before is raised with the watermark.
     */
    public static void raise(KeycloakSession session, RealmModel realm, OutboxRow row) {
        SecurityEvent event = row.event();
        if (event.client() == null || event.shadow() || event.sid() != null) {
            return;
        }
        int seconds = Containment.notBefore(session, row.watermarkMs());
        UserModel account = session.users().getUserById(realm, event.userId());
        if (account != null) {
            Containment.setNotBefore(session, realm, account, seconds);
        }
        ClientModel client = !event.clientTokens() ? null
                : realm.getClientById(account == null ? event.userId() : account.getServiceAccountClientLink());
        if (client != null) {
            ClientSteps.setNotBefore(client, seconds);
        }
    }
}
