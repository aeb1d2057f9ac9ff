package org.logoutrelay.keycloak.settle;

import java.util.List;
import java.util.stream.Stream;

import org.jboss.logging.Logger;
import org.keycloak.common.Profile;
import org.keycloak.common.util.Time;
import org.keycloak.models.ClientModel;
import org.keycloak.models.ClientSecretConstants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.RealmModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.base.LogoutRelay;

/**
 * A rotation keeps the old secret of a client for a while. When that is over Keycloak only refuses it, and writes nothing. So
 * it is taken away then, which is seen as any other change of a client, and ends what the old secret unlocked.
 */
final class RotatedSecrets {
    private static final Logger LOG = Logger.getLogger(RotatedSecrets.class);

    private record Expired(String realmId, String uuid) {
    }

    private RotatedSecrets() {
    }

    static void takeAway(KeycloakSessionFactory factory, int max) {
        if (!Profile.isFeatureEnabled(Profile.Feature.CLIENT_SECRET_ROTATION)) {
            return;
        }
        for (Expired one : KeycloakModelUtils.runJobInTransactionWithResult(factory, session -> expired(session, max))) {
            try {
                KeycloakModelUtils.runJobInTransaction(factory, session -> takeAway(session, one));
            } catch (RuntimeException e) {
                // Another node may have been quicker.
                LOG.warnf(e, "The expired secret of client %s could not be taken away; it is tried again", one.uuid());
            }
        }
    }

    /** Seconds have ten digits until 2286, so they can be compared as the texts that they are stored as. */
    private static List<Expired> expired(KeycloakSession session, int max) {
        return Jpa.em(session).createQuery("select c.realmId, c.id from ClientAttributeEntity a join a.client c where a.name = :name"
                + " and a.value < :now and exists (select r.id from RealmEntity r where r.id = c.realmId"
                + " and :listener member of r.eventsListeners)", Object[].class)
                .setParameter("name", ClientSecretConstants.CLIENT_ROTATED_SECRET_EXPIRATION_TIME)
                .setParameter("now", String.valueOf(Time.currentTime())).setParameter("listener", LogoutRelay.ID).setMaxResults(max)
                .getResultStream().map(row -> new Expired((String) row[0], (String) row[1])).toList();
    }

    private static void takeAway(KeycloakSession session, Expired one) {
        RealmModel realm = session.realms().getRealm(one.realmId());
        ClientModel client = realm == null ? null : realm.getClientById(one.uuid());
        if (client != null) {
            session.getContext().setRealm(realm);
            Stream.of(ClientSecretConstants.CLIENT_ROTATED_SECRET, ClientSecretConstants.CLIENT_ROTATED_SECRET_CREATION_TIME,
                    ClientSecretConstants.CLIENT_ROTATED_SECRET_EXPIRATION_TIME).forEach(client::removeAttribute);
        }
    }
}
