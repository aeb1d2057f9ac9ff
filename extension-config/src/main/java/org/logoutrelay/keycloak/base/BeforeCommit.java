package org.logoutrelay.keycloak.base;

import java.util.function.Consumer;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakTransaction;

/**
 * The first thing that happens when one of Keycloak's sessions commits, whatever opened it: a request, a workflow, a
 * synchronization. From then on nothing can be enlisted any more.
 */
public final class BeforeCommit implements KeycloakTransaction {
    private static final String ATTRIBUTE = BeforeCommit.class.getName();

    private static volatile Consumer<KeycloakSession> look = session -> {
    };

    private final KeycloakSession session;
    private boolean begun;

    private BeforeCommit(KeycloakSession session) {
        this.session = session;
    }

    /** What is to be done then, in every session; throws to refuse the commit. */
    public static void set(Consumer<KeycloakSession> look) {
        BeforeCommit.look = look;
    }

    /** To be called as early as can be: what is enlisted first comes first. */
    public static void enlist(KeycloakSession session) {
        BeforeCommit first = new BeforeCommit(session);
        session.setAttribute(ATTRIBUTE, first);
        try {
            session.getTransactionManager().enlistPrepare(first);
        } catch (IllegalStateException e) {
            first.begun = true;
        }
    }

    public static boolean hasBegun(KeycloakSession session) {
        BeforeCommit first = session.getAttribute(ATTRIBUTE, BeforeCommit.class);
        return first == null || first.begun;
    }

    @Override
    public void commit() {
        begun = true;
        look.accept(session);
    }

    @Override
    public void begin() {
        // has nothing to begin
    }

    @Override
    public void rollback() {
        begun = true;
    }

    @Override
    public void setRollbackOnly() {
        // is for the others to say
    }

    @Override
    public boolean getRollbackOnly() {
        return false;
    }

    @Override
    public boolean isActive() {
        return true;
    }
}
