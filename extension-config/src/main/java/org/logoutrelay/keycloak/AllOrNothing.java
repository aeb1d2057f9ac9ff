package org.logoutrelay.keycloak;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

import org.keycloak.models.AbstractKeycloakTransaction;
import org.keycloak.models.KeycloakSession;

/**
 * Our part of a change and the change itself: both are committed, or neither is and the request is answered with 500. One
 * for each Keycloak session.
 *
 * <p>The work runs at once, in the listener, and its failure is kept and thrown in the prepare phase of the transaction;
 * thrown in the listener it would be swallowed and the change let through. A failed statement has marked the transaction
 * for rollback already, and then Keycloak rolls back without a prepare phase and tells the administrator that all went
 * well; so the failure is thrown out of the rollback too. The work cannot wait for the prepare phase: Keycloak
 * from 26.7 writes session changes to the database there, in a transaction of the same phase that was enlisted before ours, and what is
 * asked of its sessions after that is lost without a word.
 */
final class AllOrNothing extends AbstractKeycloakTransaction {
    private static final String ATTRIBUTE = AllOrNothing.class.getName();

    private final KeycloakSession session;
    private final AfterCommit afterCommit;
    private final List<String> txns = new ArrayList<>();
    private boolean enlisted;
    private Throwable failure;

    private AllOrNothing(KeycloakSession session, AfterCommit afterCommit) {
        this.session = session;
        this.afterCommit = afterCommit;
    }

    /** Keycloak may make several listeners for one session; there is one of these. */
    static AllOrNothing of(KeycloakSession session, AfterCommit afterCommit) {
        AllOrNothing known = session.getAttribute(ATTRIBUTE, AllOrNothing.class);
        if (known == null) {
            known = new AllOrNothing(session, afterCommit);
            session.setAttribute(ATTRIBUTE, known);
        }
        return known;
    }

    /** Never throws, but for a transaction that is already over. */
    void run(Runnable work) {
        runAndFollow(() -> {
            work.run();
            return List.of();
        });
    }

    /** @param work returns the {@code txn}s to be settled and pushed after the commit */
    void runAndFollow(Supplier<List<String>> work) {
        enlist();
        if (failure != null) {
            return;
        }
        try {
            txns.addAll(work.get());
            // A row that cannot be written fails here. At the commit Keycloak would call it a duplicate.
            Ledger.em(session).flush();
        } catch (Throwable t) {
            failure = t;
        }
    }

    private void enlist() {
        if (enlisted) {
            return;
        }
        session.getTransactionManager().enlistPrepare(this);
        enlisted = true;
        try {
            // Makes Keycloak enlist what removes sessions after the commit, so that ours runs behind it.
            session.sessions();
            session.getTransactionManager().enlistAfterCompletion(new AbstractKeycloakTransaction() {
                @Override
                protected void commitImpl() {
                    txns.forEach(afterCommit::submit);
                }

                @Override
                protected void rollbackImpl() {
                    throwFailure();
                }
            });
        } catch (Throwable t) {
            failure = t;
        }
    }

    @Override
    protected void commitImpl() {
        throwFailure();
    }

    private void throwFailure() {
        if (failure != null) {
            throw new IllegalStateException("Logout Relay could not record this event, so the change is refused", failure);
        }
    }

    @Override
    protected void rollbackImpl() {
        // everything of ours is in Keycloak's own transaction
    }
}
