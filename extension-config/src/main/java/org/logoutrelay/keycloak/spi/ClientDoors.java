package org.logoutrelay.keycloak.spi;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.client.Issuers;
import org.logoutrelay.keycloak.containment.ClientContainment;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.Trigger;
import org.logoutrelay.keycloak.trigger.WrittenClients;

/** What is about to be committed of clients. No event is asked: none says what has changed. */
final class ClientDoors {
    private final KeycloakSession session;
    private final AllOrNothing allOrNothing;

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
        found.forEach(one -> allOrNothing.run(() -> doors.contain(one)));
    }

    private AllOrNothing.Recording contain(WrittenClients.Found one) {
        ClientModel client = one.realm().getClientById(one.uuid());
        UserModel account = client == null ? null : session.users().getServiceAccount(client);
        if (!allOrNothing.isFirst(account == null ? one.uuid() : account.getId())) {
            return AllOrNothing.Recording.NOTHING;
        }
        return in(one.realm(), () -> {
            String issuer = Issuers.of(session, one.realm());
            return client == null
                    ? ClientContainment.gone(session, one.realm(), one.uuid(), one.clientId(), one.trigger(), issuer)
                    : ClientContainment.begin(session, one.realm(), client, account, one.trigger(), null, issuer);
        });
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
