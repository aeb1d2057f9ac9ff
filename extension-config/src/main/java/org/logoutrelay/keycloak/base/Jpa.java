package org.logoutrelay.keycloak.base;

import org.keycloak.connections.jpa.JpaConnectionProvider;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.jpa.entities.UserEntity;

import jakarta.persistence.EntityManager;
import jakarta.persistence.LockModeType;

/** Keycloak's own database, in the transaction of the request. */
public final class Jpa {
    private Jpa() {
    }

    public static EntityManager em(KeycloakSession session) {
        return session.getProvider(JpaConnectionProvider.class).getEntityManager();
    }

    /** Waits for whoever writes of this user. A user whom a federation does not import has no row; nothing is locked then. */
    public static void lockUser(KeycloakSession session, String userId, LockModeType mode) {
        em(session).createQuery("select u from UserEntity u where u.id = :id", UserEntity.class).setParameter("id", userId)
                .setLockMode(mode).getResultList();
    }
}
