package org.logoutrelay.keycloak.trigger;

import java.util.Objects;

import org.hibernate.event.spi.PostUpdateEvent;
import org.keycloak.models.ClientSecretConstants;
import org.keycloak.models.jpa.entities.ClientAttributeEntity;
import org.keycloak.models.jpa.entities.ClientEntity;
import org.keycloak.models.jpa.entities.RealmEntity;
import org.keycloak.models.jpa.entities.UserEntity;
import org.logoutrelay.keycloak.gate.ClientProof;
import org.logoutrelay.keycloak.trigger.WrittenClients.Kind;

/** What {@link Writes} sees of clients and realms: what a client proves itself by, and not-before where it is moved back. */
final class ClientWrites {
    private ClientWrites() {
    }

    static boolean isWatched(Object entity) {
        return entity instanceof ClientEntity || entity instanceof ClientAttributeEntity || entity instanceof RealmEntity;
    }

    private static WrittenClients written() {
        return WrittenClients.of(Writes.session());
    }

    /** Now, and not once it is written: Keycloak removes the client's service account next, and that has to be told as this. */
    static void goes(Object entity) {
        if (entity instanceof ClientEntity client) {
            written().gone(client.getId(), client.getClientId(), client.getRealmId());
        }
    }

    static void inserted(Object entity) {
        if (entity instanceof ClientEntity client) {
            written().made(client.getId());
        } else if (entity instanceof ClientAttributeEntity attribute) {
            changed(attribute, null, attribute.getValue());
        } else if (entity instanceof UserEntity user && user.getServiceAccountClientLink() != null) {
            written().givenAccount(user.getServiceAccountClientLink(), user.getRealmId());
        }
    }

    static void updated(PostUpdateEvent event) {
        Object entity = event.getEntity();
        if (entity instanceof ClientEntity client) {
            changed(event, client);
        } else if (entity instanceof ClientAttributeEntity attribute) {
            changed(attribute, (String) Writes.was(event, "value", null), attribute.getValue());
        } else if (entity instanceof RealmEntity realm) {
            int was = (int) Writes.was(event, "notBefore", 0);
            if (was > realm.getNotBefore()) {
                written().movedBack(realm.getId(), null, was);
            } else if (was < realm.getNotBefore()) {
                written().movedOn(realm.getId());
            }
        } else if (entity instanceof UserEntity user && user.getServiceAccountClientLink() != null
                && Writes.isChanged(event, "serviceAccountClientLink")) {
            written().givenAccount(user.getServiceAccountClientLink(), user.getRealmId());
        }
    }

    static void deleted(Object entity) {
        if (entity instanceof ClientAttributeEntity attribute) {
            changed(attribute, attribute.getValue(), null);
        }
    }

    private static void changed(PostUpdateEvent event, ClientEntity client) {
        if (Writes.isChanged(event, "secret")) {
            written().newSecret(client.getId(), (String) Writes.was(event, "secret", null));
        }
        if (Writes.isChanged(event, "enabled")) {
            written().changed(client.getId(), client.isEnabled() ? Kind.ENABLED : Kind.DISABLED);
        }
        if (Writes.isChanged(event, "serviceAccountsEnabled") && !client.isServiceAccountsEnabled()) {
            written().changed(client.getId(), Kind.SERVICE_ACCOUNT_OFF);
        }
        if (client.isPublicClient() && Writes.isChanged(event, "publicClient")
                || client.isBearerOnly() && Writes.isChanged(event, "bearerOnly")
                || Writes.isChanged(event, "clientAuthenticatorType") && Writes.was(event, "clientAuthenticatorType", null) != null) {
            written().changed(client.getId(), Kind.AUTHENTICATION);
        }
        int was = (int) Writes.was(event, "notBefore", 0);
        if (was > client.getNotBefore()) {
            written().movedBack(client.getRealmId(), client.getId(), was);
        }
    }

    private static void changed(ClientAttributeEntity attribute, String was, String is) {
        String name = attribute.getName();
        if (ClientSecretConstants.CLIENT_ROTATED_SECRET.equals(name)) {
            written().retired(attribute.getClient().getId(), was);
        } else if (ClientProof.isKey(name) && !Objects.equals(set(was), set(is))) {
            written().changed(attribute.getClient().getId(), Kind.KEYS);
        }
    }

    /** The console writes {@code false} and nothing for a switch that nobody has touched. */
    private static String set(String value) {
        return value == null || value.isBlank() || value.equals("false") ? null : value;
    }
}
