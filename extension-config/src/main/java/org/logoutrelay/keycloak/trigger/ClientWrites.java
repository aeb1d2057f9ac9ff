package org.logoutrelay.keycloak.trigger;

import java.util.Objects;
import java.util.function.Consumer;

import org.hibernate.engine.spi.SessionFactoryImplementor;
import org.hibernate.event.service.spi.EventListenerRegistry;
import org.hibernate.event.spi.DeleteContext;
import org.hibernate.event.spi.DeleteEvent;
import org.hibernate.event.spi.DeleteEventListener;
import org.hibernate.event.spi.EventType;
import org.hibernate.event.spi.PersistContext;
import org.hibernate.event.spi.PersistEvent;
import org.hibernate.event.spi.PersistEventListener;
import org.hibernate.event.spi.PostDeleteEvent;
import org.hibernate.event.spi.PostDeleteEventListener;
import org.hibernate.event.spi.PostInsertEvent;
import org.hibernate.event.spi.PostInsertEventListener;
import org.hibernate.event.spi.PostLoadEvent;
import org.hibernate.event.spi.PostLoadEventListener;
import org.hibernate.event.spi.PostUpdateEvent;
import org.hibernate.event.spi.PostUpdateEventListener;
import org.keycloak.models.ClientSecretConstants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.jpa.entities.ClientAttributeEntity;
import org.keycloak.models.jpa.entities.ClientEntity;
import org.keycloak.models.jpa.entities.RealmEntity;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.gate.ClientProof;
import org.logoutrelay.keycloak.trigger.WrittenClients.Kind;

/**
 * Sees each row of a client that is written, below every door, as {@link Writes} does it for users. Notes in
 * {@link WrittenClients} what a client proves itself by, and not-before where it is moved back.
 */
public final class ClientWrites implements PostLoadEventListener, PersistEventListener, DeleteEventListener,
        PostInsertEventListener, PostUpdateEventListener, PostDeleteEventListener {
    private static final long serialVersionUID = 1L;

    private final transient Consumer<KeycloakSession> watch;

    private ClientWrites(Consumer<KeycloakSession> watch) {
        this.watch = watch;
    }

    /** @param watch called when a session first touches what may come to be a trigger, before it commits */
    public static void register(KeycloakSession session, Consumer<KeycloakSession> watch) {
        EventListenerRegistry registry = Jpa.em(session).getEntityManagerFactory().unwrap(SessionFactoryImplementor.class)
                .getServiceRegistry().requireService(EventListenerRegistry.class);
        ClientWrites writes = new ClientWrites(watch);
        registry.appendListeners(EventType.POST_LOAD, writes);
        registry.appendListeners(EventType.PERSIST, writes);
        registry.appendListeners(EventType.DELETE, writes);
        registry.appendListeners(EventType.POST_INSERT, writes);
        registry.appendListeners(EventType.POST_UPDATE, writes);
        registry.appendListeners(EventType.POST_DELETE, writes);
    }

    @Override
    public void onPostLoad(PostLoadEvent event) {
        touched(event.getEntity());
    }

    @Override
    public void onPersist(PersistEvent event) {
        touched(event.getObject());
    }

    @Override
    public void onPersist(PersistEvent event, PersistContext already) {
        touched(event.getObject());
    }

    @Override
    public void onDelete(DeleteEvent event) {
        deleted(event.getObject());
    }

    @Override
    public void onDelete(DeleteEvent event, DeleteContext already) {
        deleted(event.getObject());
    }

    private void deleted(Object entity) {
        touched(entity);
        if (entity instanceof ClientEntity client) {
            // Now, and not once it is written: Keycloak removes its service account next, and that has to be told as this.
            written().gone(client.getId(), client.getClientId(), client.getRealmId());
        }
    }

    private void touched(Object entity) {
        if (entity instanceof ClientEntity || entity instanceof ClientAttributeEntity || entity instanceof RealmEntity) {
            Writes.touched(watch);
        }
    }

    private static WrittenClients written() {
        return WrittenClients.of(Writes.session());
    }

    @Override
    public void onPostInsert(PostInsertEvent event) {
        if (event.getEntity() instanceof ClientEntity client) {
            written().made(client.getId());
        } else if (event.getEntity() instanceof ClientAttributeEntity attribute) {
            changed(attribute, null, attribute.getValue());
        }
    }

    @Override
    public void onPostUpdate(PostUpdateEvent event) {
        Object entity = event.getEntity();
        if (entity instanceof ClientEntity client) {
            changed(event, client);
        } else if (entity instanceof ClientAttributeEntity attribute) {
            changed(attribute, (String) Writes.was(event, "value", null), attribute.getValue());
        } else if (entity instanceof RealmEntity realm) {
            int was = (int) Writes.was(event, "notBefore", 0);
            if (was > realm.getNotBefore()) {
                written().movedBack(realm.getId(), null, was);
            }
        }
    }

    private static void changed(PostUpdateEvent event, ClientEntity client) {
        if (Writes.isChanged(event, "secret")) {
            written().retired(client.getId(), (String) Writes.was(event, "secret", null));
        }
        if (Writes.isChanged(event, "enabled")) {
            written().changed(client.getId(), client.isEnabled() ? Kind.ENABLED : Kind.DISABLED);
        }
        if (Writes.isChanged(event, "serviceAccountsEnabled")) {
            if (client.isServiceAccountsEnabled()) {
                written().givenAccount(client.getId(), client.getRealmId());
            } else {
                written().changed(client.getId(), Kind.SERVICE_ACCOUNT_OFF);
            }
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

    @Override
    public void onPostDelete(PostDeleteEvent event) {
        if (event.getEntity() instanceof ClientAttributeEntity attribute) {
            changed(attribute, attribute.getValue(), null);
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
