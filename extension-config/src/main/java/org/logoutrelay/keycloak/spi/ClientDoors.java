package org.logoutrelay.keycloak.spi;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.client.Issuers;
import org.logoutrelay.keycloak.containment.ClientContainment;
import org.logoutrelay.keycloak.gate.Watermarks;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.rotation.Rotations;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.Trigger;
import org.logoutrelay.keycloak.trigger.WrittenClients;

/** What is about to be committed of clients. No event is asked: none says what has changed. */
final class ClientDoors {
    private final KeycloakSession session;
    private final AllOrNothing allOrNothing;
    /** Up to when what a client had was had by its old secret, by Keycloak's id of the client, where that is not up to now. */
    private final Map<String, Long> reachesMs = new HashMap<>();

    private ClientDoors(KeycloakSession session, AllOrNothing allOrNothing) {
        this.session = session;
        this.allOrNothing = allOrNothing;
    }

    /** Before the commit, once all has been flushed. */
    static void look(KeycloakSession session, AllOrNothing allOrNothing) {
        ClientDoors doors = new ClientDoors(session, allOrNothing);
        List<WrittenClients.Found> found = new ArrayList<>();
        allOrNothing.run(() -> {
            WrittenClients.keepNotBefore(session);
            found.addAll(WrittenClients.matches(session));
            return AllOrNothing.Recording.NOTHING;
        });
        WrittenClients.secretChanges(session).forEach(change -> allOrNothing.run(() -> doors.rotate(change)));
        found.forEach(one -> allOrNothing.run(() -> doors.contain(one)));
        WrittenClients.withNewAccount(session).forEach(client -> allOrNothing.run(() -> ClientContainment.made(session, client)));
    }

    private AllOrNothing.Recording rotate(WrittenClients.SecretChange change) {
        Rotations.Judged judged = Rotations.judge(session, change);
        if (judged.reachesMs() != null) {
            reachesMs.put(change.uuid(), judged.reachesMs());
        }
        return judged.recording();
    }

    private AllOrNothing.Recording contain(WrittenClients.Found one) {
        ClientModel client = one.realm().getClientById(one.uuid());
        UserModel account = client == null ? null : session.users().getServiceAccount(client);
        String subject = account == null ? one.uuid() : account.getId();
        if (!allOrNothing.isFirst(subject) || one.revives() && hasEnded(one, subject)) {
            return AllOrNothing.Recording.NOTHING;
        }
        return in(one.realm(), () -> {
            String issuer = Issuers.of(session, one.realm());
            Long atMs = one.isOfASecret() ? reachesMs.get(one.uuid()) : null;
            return client == null
                    ? ClientContainment.gone(session, one.realm(), one.uuid(), one.clientId(), one.trigger(), issuer)
                    : ClientContainment.begin(session, one.realm(), client, account, one.trigger(), null, atMs, issuer);
        });
    }

    /** As it was disabled, and not by an event before: what was issued in between would come back to life. */
    private boolean hasEnded(WrittenClients.Found one, String subject) {
        String txn = Watermarks.newestTxn(session, one.realm().getId(), subject);
        return txn != null && Outbox.firstOf(session, txn).filter(row -> row.event().triggerId().equals(one.trigger().id())).isPresent();
    }

    /** An administrator of the realm master acts on others. */
    private <T> T in(RealmModel realm, Supplier<T> work) {
        RealmModel context = session.getContext().getRealm();
        if (context == null || !context.getId().equals(realm.getId())) {
            session.getContext().setRealm(realm);
        }
        try {
            return work.get();
        } finally {
            if (context != null) {
                session.getContext().setRealm(context);
            }
        }
    }

    /** What it is that a user goes by: Keycloak removes a service account with its client, and where it is switched off. */
    static Trigger whyGoes(KeycloakSession session, AllOrNothing allOrNothing, RealmModel realm, UserModel user) {
        String uuid = user.getServiceAccountClientLink();
        ClientModel client = uuid == null ? null : realm.getClientById(uuid);
        Trigger trigger = client != null && !client.isServiceAccountsEnabled() ? Trigger.CLIENT_SERVICE_ACCOUNT_OFF
                : Trigger.ACCOUNT_DELETED;
        if (uuid != null && Policy.of(session, realm).acts(trigger)) {
            // What is seen of the client itself later on is told with it.
            allOrNothing.isFirst(uuid);
        }
        return trigger;
    }
}
