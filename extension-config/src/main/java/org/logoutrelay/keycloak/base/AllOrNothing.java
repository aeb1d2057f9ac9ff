package org.logoutrelay.keycloak.base;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;

import org.hibernate.StaleStateException;
import org.jboss.logging.Logger;
import org.keycloak.models.AbstractKeycloakTransaction;
import org.keycloak.models.KeycloakSession;

import jakarta.persistence.OptimisticLockException;
import jakarta.ws.rs.BadRequestException;
import jakarta.ws.rs.WebApplicationException;
import jakarta.ws.rs.core.Response;

/**
 * Our part of a change and the change itself: both are committed, or neither is and the request is answered with 500. One
 * for each Keycloak session.
 *
 * <p>Our own rows are written in the prepare phase: in the listener Keycloak swallows an exception, and a statement that
 * fails there makes it roll back and tell the administrator that all went well.
 */
public final class AllOrNothing extends AbstractKeycloakTransaction {
    private static final Logger LOG = Logger.getLogger(AllOrNothing.class);
    private static final String ATTRIBUTE = AllOrNothing.class.getName();

    private final KeycloakSession session;
    private final Committed afterwards;
    private final List<Recording> recordings = new ArrayList<>();
    private final List<String> txns = new ArrayList<>();
    private final Set<String> contained = new HashSet<>();
    private boolean enlisted;
    private long committedMs;
    private Throwable failure;

    /** What is to be written in the prepare phase. */
    public interface Recording {
        /** For what is none of ours after all. */
        Recording NOTHING = () -> null;

        /** Returns the {@code txn} that is to be settled and pushed after the commit, or null; throws to refuse the change. */
        String write();
    }

    /** What follows the commit of something recorded. */
    public interface Committed {
        /**
         * Called on the request's thread: it neither throws nor waits.
         *
         * @param committedMs by the database's clock
         */
        void submit(String txn, long committedMs);
    }

    /** The change is refused for what it is, and who asked for it is told why. */
    public static final class Refusal extends BadRequestException {
        private static final long serialVersionUID = 1L;

        public Refusal(String message) {
            super(message);
        }
    }

    private AllOrNothing(KeycloakSession session, Committed afterwards) {
        this.session = session;
        this.afterwards = afterwards;
    }

    /** Keycloak may make several listeners for one session; there is one of these. */
    public static AllOrNothing of(KeycloakSession session, Committed afterwards) {
        AllOrNothing known = session.getAttribute(ATTRIBUTE, AllOrNothing.class);
        if (known == null) {
            known = new AllOrNothing(session, afterwards);
            session.setAttribute(ATTRIBUTE, known);
        }
        return known;
    }

    public static boolean isEnlisted(KeycloakSession session) {
        AllOrNothing known = session.getAttribute(ATTRIBUTE, AllOrNothing.class);
        return known != null && known.enlisted;
    }

    /** The listener's first and only statement. A failure of the work is kept and refuses the change. */
    public void run(Supplier<Recording> work) {
        enlist();
        try {
            recordings.add(work.get());
        } catch (Throwable t) {
            LOG.debug("An event could not be followed", t);
            // The first is what the change is refused for; what comes after may only follow from it.
            failure = failure == null ? t : failure;
        }
    }

    /** Whether this is the first event of this request about the subject: a changed password is told twice. */
    public boolean isFirst(String subject) {
        return contained.add(subject);
    }

    /**
     * Two changes of one user at once: the second is answered with 409 and can be sent again.
     *
     * @throws WebApplicationException if this is what the failure says
     */
    public static void refuseIfMet(Throwable failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof OptimisticLockException || cause instanceof StaleStateException) {
                LOG.warn("Two changes of one user met; the second is refused");
                throw new WebApplicationException("Another change of this user was committed in the same moment; send it again",
                        Response.Status.CONFLICT);
            }
        }
    }

    /** Takes part in the session's commit, which must not have begun yet; what is run later, until then, is followed. */
    public void enlist() {
        if (enlisted) {
            return;
        }
        session.getTransactionManager().enlistPrepare(this);
        enlisted = true;
        try {
            // Behind the database's commit and before what Keycloak tells the other nodes, which may take its time.
            session.getTransactionManager().enlist(new AbstractKeycloakTransaction() {
                @Override
                protected void commitImpl() {
                    committedMs = txns.isEmpty() ? 0 : DbClock.now(session);
                }

                @Override
                protected void rollbackImpl() {
                    // nothing was committed
                }
            });
            session.getTransactionManager().enlistAfterCompletion(new AbstractKeycloakTransaction() {
                @Override
                protected void commitImpl() {
                    submit();
                }

                @Override
                protected void rollbackImpl() {
                    // Also where all was committed and the other nodes could not be told. What was not is not found.
                    if (committedMs > 0) {
                        submit();
                    }
                }

                private void submit() {
                    txns.forEach(txn -> afterwards.submit(txn, committedMs));
                }
            });
        } catch (Throwable t) {
            failure = t;
        }
    }

    @Override
    protected void commitImpl() {
        try {
            if (failure != null) {
                throw failure;
            }
            for (Recording recording : recordings) {
                String txn = recording.write();
                if (txn != null) {
                    txns.add(txn);
                }
            }
            if (!recordings.isEmpty()) {
                // A row that cannot be written fails here, while the change can still be refused.
                Jpa.em(session).flush();
            }
        } catch (Refusal refusal) {
            LOG.warn(refusal.getMessage());
            throw refusal;
        } catch (Throwable cause) {
            refuseIfMet(cause);
            LOG.error("This event could not be followed, so the change is refused and nothing of it is committed", cause);
            // Without the cause: of a database error Keycloak would make 409 "Duplicate resource".
            throw new IllegalStateException("Logout Relay could not follow this event; the change is refused");
        }
    }

    @Override
    protected void rollbackImpl() {
        // everything of ours is in Keycloak's own transaction
    }
}
