package org.logoutrelay.keycloak.base;

import java.time.Instant;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.utils.KeycloakModelUtils;

/**
 * The database's clock, as this node knows it. Every instant that is compared with another one is taken from here: the
 * clocks of two nodes differ, and a login at the fast one would look newer than a reset at the slow one.
 *
 * <p>Between two measurements the node's own monotonic clock carries the time on, which nobody can set.
 */
public final class DbClock {
    private static final long NANOS_PER_MS = 1_000_000;
    private static final long MAX_AGE_NANOS = 30_000 * NANOS_PER_MS;
    private static final long QUARTER_OF_AN_HOUR_MS = 15L * 60 * 1000;

    /** A monotonic clock runs away by no more than one in this many. */
    private static final long DRIFT = 10_000;

    /** The first answers of a database take their time, and the shortest is the most exact. */
    private static final int FIRST_QUESTIONS = 5;

    private static volatile Anchor anchor;

    /** An answer of the database, and the middle of the time that it took. */
    private record Anchor(long dbMs, long nanos, long halfNanos) {
        public long now() {
            return dbMs + Math.floorDiv(System.nanoTime() - nanos, NANOS_PER_MS);
        }

        /** Not before the true time, however long the answer was under way. */
        long latestNow() {
            return dbMs + 1 + Math.floorDiv(System.nanoTime() - nanos + halfNanos, NANOS_PER_MS);
        }

        long uncertainty() {
            return halfNanos + (System.nanoTime() - nanos) / DRIFT;
        }

        boolean isOld() {
            return System.nanoTime() - nanos > MAX_AGE_NANOS;
        }
    }

    private DbClock() {
    }

    /** Milliseconds since the epoch. Asks the database only where the last measurement is older than half a minute. */
    public static long now(KeycloakSession session) {
        Anchor known = anchor;
        if (known == null || known.isOld()) {
            measure(session.getKeycloakSessionFactory());
            known = anchor;
        }
        return known.now();
    }

    /**
     * Milliseconds since the epoch, asked now, and not before the true time: what a reset is dated by must not go by a
     * measurement of before a pause.
     */
    public static long measure(KeycloakSessionFactory factory) {
        Anchor measured = ask(factory);
        for (int more = 1; anchor == null && more < FIRST_QUESTIONS; more++) {
            Anchor next = ask(factory);
            measured = next.halfNanos() < measured.halfNanos() ? next : measured;
        }
        Anchor known = anchor;
        // Under load an answer may be long under way, and says little.
        if (known == null || known.isOld() || measured.uncertainty() < known.uncertainty()
                || Math.abs(measured.now() - known.now()) * NANOS_PER_MS > measured.uncertainty() + known.uncertainty() + NANOS_PER_MS) {
            anchor = measured;
        }
        return measured.latestNow();
    }

    private static Anchor ask(KeycloakSessionFactory factory) {
        // A transaction of its own: on PostgreSQL the time stands still within one.
        return KeycloakModelUtils.runJobInTransactionWithResult(factory, session -> {
            long before = System.nanoTime();
            Instant now = Jpa.em(session).createQuery("select instant", Instant.class).getSingleResult();
            long half = (System.nanoTime() - before) / 2;
            return new Anchor(correct(now.toEpochMilli(), System.currentTimeMillis()), before + half, half);
        });
    }

    /** A database driver may take the time for that of another time zone; zones differ by quarters of an hour. */
    static long correct(long dbMs, long nodeMs) {
        long quarters = Math.round((double) (dbMs - nodeMs) / QUARTER_OF_AN_HOUR_MS);
        return dbMs - quarters * QUARTER_OF_AN_HOUR_MS;
    }

    /** Milliseconds by which this node's wall clock is ahead of the database's. */
    public static long nodeAheadMs(KeycloakSession session) {
        return System.currentTimeMillis() - now(session);
    }

    /** The last millisecond of that second: Keycloak's own times are whole seconds. */
    public static long endOfSecond(long ms) {
        return Math.floorDiv(ms, 1000L) * 1000 + 999;
    }
}
