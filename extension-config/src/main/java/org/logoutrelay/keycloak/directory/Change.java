package org.logoutrelay.keycloak.directory;

import java.util.OptionalLong;

import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.trigger.Trigger;

/**
 * What a look has found changed. Times in milliseconds of the database's clock.
 *
 * @param trigger what it is, or null where it only has to be noted
 * @param earliestMs when it was at the earliest
 * @param latestMs and at the latest: whoever has logged in after it has done so with what is in force now
 * @param now what is seen now, {@link PasswordClock#NONE} of a user who is not there
 */
record Change(Trigger trigger, long earliestMs, long latestMs, String now, boolean disabled, long goneMs) {
    /** What is younger is looked at again: a request of Keycloak's own that has just set the password may not be committed. */
    static final long YOUNG_MS = 2_000;

    /** So long must a user be missing: a directory that is being reorganised, or has just failed over, shows them again. */
    static final long MISSING_MS = 2_000;

    /** How far apart the clocks of a directory's servers may be from the one that was asked, and how exact a measurement is. */
    private static final long MEASURED_MS = 2_000;
    /** The same where the directory does not tell its time. */
    private static final long UNMEASURED_MS = 60_000;

    /** @param aheadMs by how much the directory's clock is ahead; null where it does not say */
    record Clocks(long nowMs, Long aheadMs) {
        long ours(long theirs) {
            return aheadMs == null ? theirs : theirs - aheadMs;
        }

        long tolerance() {
            return aheadMs == null ? UNMEASURED_MS : MEASURED_MS;
        }
    }

    /** Something that must not be judged yet, and not be noted either. */
    static boolean isYoung(Directory.Entry entry, Clocks clocks) {
        OptionalLong changed = PasswordClock.latestMs(entry.clock());
        long age = changed.isEmpty() ? Long.MAX_VALUE : clocks.nowMs() - clocks.ours(changed.getAsLong());
        // One of the future is not young, it is wrong.
        return age > -YOUNG_MS && age < YOUNG_MS;
    }

    /**
     * @param seen what was seen last, or null for the first time
     * @param entry the user's entry, or null where there is none
     * @return null where nothing has changed
     */
    static Change of(SeenRow seen, Directory.Entry entry, Clocks clocks) {
        long now = clocks.nowMs();
        String clock = seen == null ? PasswordClock.NONE : seen.passwordClock;
        boolean wasDisabled = seen != null && seen.disabled;
        long goneMs = seen == null ? 0 : seen.goneMs;
        if (entry == null) {
            boolean first = goneMs == 0;
            return first ? new Change(null, now, now, clock, wasDisabled, now)
                    : goneMs < 0 || now - goneMs < MISSING_MS ? null
                    : new Change(Trigger.DIRECTORY_ACCOUNT_DELETED, now, now, clock, wasDisabled, -goneMs);
        }
        if (entry.disabled() && !wasDisabled) {
            return new Change(Trigger.DIRECTORY_ACCOUNT_DISABLED, now, now, entry.clock(), true, 0);
        }
        if (!entry.clock().equals(clock)) {
            OptionalLong theirs = PasswordClock.latestMs(entry.clock());
            OptionalLong before = PasswordClock.latestMs(clock);
            boolean forward = theirs.isPresent() && (before.isEmpty() || theirs.getAsLong() > before.getAsLong());
            // A clock that has gone back, or tells no time, says that something has changed and not when.
            long latest = forward ? Math.min(now, clocks.ours(theirs.getAsLong())) : now;
            return new Change(Trigger.DIRECTORY_PASSWORD_CHANGED, forward ? latest - clocks.tolerance() : now, latest,
                    entry.clock(), entry.disabled(), 0);
        }
        return seen == null || goneMs != 0 || entry.disabled() != wasDisabled
                ? new Change(null, now, now, entry.clock(), entry.disabled(), 0) : null;
    }

    /** A login that was old already when this was seen has been used since. */
    static Change late(SeenRow seen) {
        return new Change(seen.disabled ? Trigger.DIRECTORY_ACCOUNT_DISABLED : Trigger.DIRECTORY_PASSWORD_CHANGED, seen.oldUntilMs,
                seen.oldUntilMs, seen.passwordClock, seen.disabled, seen.goneMs);
    }

    boolean isOnlyToBeNoted() {
        return trigger == null;
    }

    /** What began in the second of the change may have gone by what was in force before. */
    long watermarkMs() {
        return DbClock.endOfSecond(latestMs);
    }

    /**
     * Whether it is what Keycloak has itself set at that time. A change that tells no time is: the look that follows Keycloak's
     * own change comes soon.
     */
    boolean isOwn(OptionalLong ownMs) {
        return trigger == Trigger.DIRECTORY_PASSWORD_CHANGED && ownMs.isPresent()
                && (earliestMs == latestMs || earliestMs <= ownMs.getAsLong());
    }
}
