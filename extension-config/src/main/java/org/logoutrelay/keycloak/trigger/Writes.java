package org.logoutrelay.keycloak.trigger;

import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
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
import org.hibernate.event.spi.PreCollectionUpdateEvent;
import org.hibernate.event.spi.PreCollectionUpdateEventListener;
import org.hibernate.persister.entity.EntityPersister;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.credential.PasswordCredentialModel;
import org.keycloak.models.jpa.entities.CredentialEntity;
import org.keycloak.models.jpa.entities.FederatedIdentityEntity;
import org.keycloak.models.jpa.entities.GroupEntity;
import org.keycloak.models.jpa.entities.GroupRoleMappingEntity;
import org.keycloak.models.jpa.entities.RoleEntity;
import org.keycloak.models.jpa.entities.UserEntity;
import org.keycloak.models.jpa.entities.UserGroupMembershipEntity;
import org.keycloak.models.jpa.entities.UserRoleMappingEntity;
import org.keycloak.storage.jpa.entity.BrokerLinkEntity;
import org.keycloak.storage.jpa.entity.FederatedUserCredentialEntity;
import org.keycloak.storage.jpa.entity.FederatedUserGroupMembershipEntity;
import org.keycloak.storage.jpa.entity.FederatedUserRoleMappingEntity;
import org.keycloak.utils.KeycloakSessionUtil;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.BeforeCommit;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.trigger.Written.Holder;
import org.logoutrelay.keycloak.trigger.Written.Kind;

import jakarta.persistence.EntityManagerFactory;

/**
 * Sees each row of users, groups, roles and clients that is written to Keycloak's database, below every door: Admin API, SCIM,
 * workflows, import, synchronization, other extensions. Notes it in {@link Written}, by {@link ClientWrites} in
 * {@link WrittenClients}.
 */
public final class Writes implements PostLoadEventListener, PersistEventListener, DeleteEventListener, PostInsertEventListener,
        PostUpdateEventListener, PostDeleteEventListener, PreCollectionUpdateEventListener {
    private static final long serialVersionUID = 1L;

    /** Of 26.7; before, a collection of the role. */
    private static final String COMPOSITE = "org.keycloak.models.jpa.entities.CompositeRoleEntity";
    private static final String COMPOSITES = RoleEntity.class.getName() + ".compositeRoles";

    private static final Set<String> WATCHED = Set.of(UserEntity.class.getName(), CredentialEntity.class.getName(),
            UserRoleMappingEntity.class.getName(), UserGroupMembershipEntity.class.getName(), GroupEntity.class.getName(),
            GroupRoleMappingEntity.class.getName(), RoleEntity.class.getName(), COMPOSITE, FederatedIdentityEntity.class.getName(),
            BrokerLinkEntity.class.getName(), FederatedUserCredentialEntity.class.getName(),
            FederatedUserRoleMappingEntity.class.getName(), FederatedUserGroupMembershipEntity.class.getName());

    /** Called once for each of Keycloak's sessions, as long as something can still be enlisted. */
    private final transient Consumer<KeycloakSession> watch;

    private Writes(Consumer<KeycloakSession> watch) {
        this.watch = watch;
    }

    /** @param watch called when a session first touches what may come to be a trigger, before it commits */
    public static void register(KeycloakSession session, Consumer<KeycloakSession> watch) {
        EntityManagerFactory factory = Jpa.em(session).getEntityManagerFactory();
        EventListenerRegistry registry = factory.unwrap(SessionFactoryImplementor.class).getServiceRegistry()
                .requireService(EventListenerRegistry.class);
        Writes writes = new Writes(watch);
        registry.appendListeners(EventType.POST_LOAD, writes);
        registry.appendListeners(EventType.PERSIST, writes);
        registry.appendListeners(EventType.DELETE, writes);
        registry.appendListeners(EventType.POST_INSERT, writes);
        registry.appendListeners(EventType.POST_UPDATE, writes);
        registry.appendListeners(EventType.POST_DELETE, writes);
        registry.appendListeners(EventType.PRE_COLLECTION_UPDATE, writes);
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
        goes(event.getObject());
    }

    @Override
    public void onDelete(DeleteEvent event, DeleteContext already) {
        goes(event.getObject());
    }

    private void goes(Object entity) {
        touched(entity);
        ClientWrites.goes(entity);
    }

    private void touched(Object entity) {
        if (!WATCHED.contains(entity.getClass().getName()) && !ClientWrites.isWatched(entity)) {
            return;
        }
        KeycloakSession session = KeycloakSessionUtil.getKeycloakSession();
        if (session != null && !BeforeCommit.hasBegun(session) && Written.watch(session)) {
            watch.accept(session);
        }
    }

    /**
     * What is written late is written by a containment, and concerns nobody but its subject.
     *
     * @throws IllegalStateException where the change cannot be followed, and must fail
     */
    static KeycloakSession session() {
        KeycloakSession session = KeycloakSessionUtil.getKeycloakSession();
        if (session == null || BeforeCommit.hasBegun(session) && !Written.isWatched(session) && !AllOrNothing.isEnlisted(session)) {
            throw new IllegalStateException("Logout Relay cannot follow a change of a user or a client that comes " + (session == null
                    ? "from outside of Keycloak's sessions" : "only while its session is being committed") + "; it is refused");
        }
        return session;
    }

    private static Written written() {
        return Written.of(session());
    }

    @Override
    public void onPostInsert(PostInsertEvent event) {
        Object entity = event.getEntity();
        ClientWrites.inserted(entity);
        if (!WATCHED.contains(entity.getClass().getName())) {
            return;
        }
        Written written = written();
        if (entity instanceof UserEntity user) {
            written.made(user.getId());
        } else if (entity instanceof GroupEntity group) {
            written.made(group.getId());
        } else if (entity instanceof RoleEntity role) {
            written.made(role.getId());
        } else if (entity instanceof CredentialEntity credential) {
            credential(written, credential.getUser().getId(), null, credential.getType());
        } else if (entity instanceof FederatedUserCredentialEntity credential) {
            credential(written, credential.getUserId(), credential.getRealmId(), credential.getType());
        } else if (entity instanceof UserRoleMappingEntity mapping) {
            written.roleGiven(Holder.USER, mapping.getUser().getId(), null, mapping.getRoleId());
        } else if (entity instanceof FederatedUserRoleMappingEntity mapping) {
            written.roleGiven(Holder.USER, mapping.getUserId(), mapping.getRealmId(), mapping.getRoleId());
        } else if (entity instanceof UserGroupMembershipEntity membership) {
            written.groupGiven(Holder.USER, membership.getUser().getId(), null, membership.getGroupId());
        } else if (entity instanceof FederatedUserGroupMembershipEntity membership) {
            written.groupGiven(Holder.USER, membership.getUserId(), membership.getRealmId(), membership.getGroupId());
        } else if (entity instanceof GroupRoleMappingEntity mapping) {
            written.roleGiven(Holder.GROUP, mapping.getGroup().getId(), null, mapping.getRoleId());
        } else if (entity.getClass().getName().equals(COMPOSITE)) {
            written.roleGiven(Holder.ROLE, role(entity, "getParentRole"), null, role(entity, "getChildRole"));
        }
    }

    private static String role(Object composite, String getter) {
        try {
            return ((RoleEntity) composite.getClass().getMethod(getter).invoke(composite)).getId();
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("Logout Relay does not know what a composite role is in this version of Keycloak", e);
        }
    }

    @Override
    public void onPreUpdateCollection(PreCollectionUpdateEvent event) {
        if (!COMPOSITES.equals(event.getCollection().getRole())) {
            return;
        }
        Set<Object> before = new HashSet<>(event.getCollection().getStoredSnapshot() instanceof Map<?, ?> map ? map.keySet() : Set.of());
        Collection<?> now = (Collection<?>) event.getCollection();
        now.stream().filter(role -> !before.contains(role)).forEach(role -> written().roleGiven(Holder.ROLE,
                (String) event.getAffectedOwnerIdOrNull(), null, ((RoleEntity) role).getId()));
    }

    @Override
    public void onPostUpdate(PostUpdateEvent event) {
        Object entity = event.getEntity();
        ClientWrites.updated(event);
        if (entity instanceof UserEntity user) {
            if (Boolean.TRUE.equals(was(event, "enabled", true)) && !user.isEnabled()) {
                written().changed(user.getId(), user.getRealmId(), Kind.DISABLED);
            }
            // What a directory says its own entries are called, and where mail goes, is the directory's.
            if (isChanged(event, "email") && user.getFederationLink() == null) {
                written().changed(user.getId(), user.getRealmId(), Kind.EMAIL);
            }
            if (isChanged(event, "username") && user.getFederationLink() == null) {
                written().changed(user.getId(), user.getRealmId(), Kind.USERNAME);
            }
        } else if (entity instanceof GroupEntity group && isChanged(event, "parentId")) {
            written().groupGiven(Holder.GROUP, group.getId(), group.getRealm(), group.getId());
        } else if (entity instanceof CredentialEntity credential && isNewPassword(event, credential.getType())) {
            written().changed(credential.getUser().getId(), null, Kind.PASSWORD);
        } else if (entity instanceof FederatedUserCredentialEntity credential && isNewPassword(event, credential.getType())) {
            written().changed(credential.getUserId(), credential.getRealmId(), Kind.PASSWORD);
        }
    }

    /**
     * Keycloak itself hashes a password anew at a login, and brings an old row into today's form when it reads it; neither
     * moves its date. Of other credentials a login writes the counters, and which codes are used up, into the row there is; a
     * new one is a new row.
     */
    private static boolean isNewPassword(PostUpdateEvent event, String type) {
        return PasswordCredentialModel.TYPE.equals(type) && isChanged(event, "secretData") && isChanged(event, "createdDate");
    }

    @Override
    public void onPostDelete(PostDeleteEvent event) {
        Object entity = event.getEntity();
        ClientWrites.deleted(entity);
        if (entity instanceof UserEntity user) {
            written().gone(user.getId());
        } else if (entity instanceof CredentialEntity credential) {
            credential(written(), credential.getUser().getId(), null, credential.getType());
        } else if (entity instanceof FederatedUserCredentialEntity credential) {
            credential(written(), credential.getUserId(), credential.getRealmId(), credential.getType());
        } else if (entity instanceof FederatedIdentityEntity link) {
            written().changed(link.getUser().getId(), link.getRealmId(), Kind.LINK);
        } else if (entity instanceof BrokerLinkEntity link) {
            written().changed(link.getUserId(), link.getRealmId(), Kind.LINK);
        }
    }

    private static void credential(Written written, String userId, String realmId, String type) {
        if (!PasswordCredentialModel.PASSWORD_HISTORY.equals(type)) {
            written.changed(userId, realmId, PasswordCredentialModel.TYPE.equals(type) ? Kind.PASSWORD : Kind.CREDENTIAL);
        }
    }

    private static int index(EntityPersister persister, String property) {
        int index = Arrays.asList(persister.getPropertyNames()).indexOf(property);
        if (index < 0) {
            throw new IllegalStateException("Logout Relay does not know " + persister.getEntityName() + " in this version of Keycloak");
        }
        return index;
    }

    static Object was(PostUpdateEvent event, String property, Object otherwise) {
        return event.getOldState() == null ? otherwise : event.getOldState()[index(event.getPersister(), property)];
    }

    static boolean isChanged(PostUpdateEvent event, String property) {
        int index = index(event.getPersister(), property);
        return event.getOldState() == null || !Objects.equals(event.getOldState()[index], event.getState()[index]);
    }
}
