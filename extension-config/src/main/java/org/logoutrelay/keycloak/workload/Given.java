package org.logoutrelay.keycloak.workload;

/**
 * What was given in one way since it was last written.
 *
 * @param longestS seconds that the longest-lived token lives
 * @param latestEnd seconds since the epoch
 * @param refreshMs when a refresh token was last among it, or 0
 * @param offlineMs the same of an offline token
 * @param hours a bit for each hour of the day, UTC
 */
record Given(long uses, long firstMs, long lastMs, long longestS, long latestEnd, long refreshMs, long offlineMs, int hours) {
    static final long NO_END = Long.MAX_VALUE;
    private static final long HOUR_MS = 3_600_000;
    private static final long DAY_MS = 24 * HOUR_MS;

    /** @param endS seconds since the epoch, or {@link #NO_END} */
    static Given one(long nowMs, long endS, boolean refresh, boolean offline) {
        return new Given(1, nowMs, nowMs, endS == NO_END ? NO_END : Math.max(0, endS - nowMs / 1000), endS, refresh ? nowMs : 0,
                offline ? nowMs : 0, 1 << Math.floorMod(nowMs / HOUR_MS, 24));
    }

    Given and(Given other) {
        return new Given(uses + other.uses, Math.min(firstMs, other.firstMs), Math.max(lastMs, other.lastMs),
                Math.max(longestS, other.longestS), Math.max(latestEnd, other.latestEnd), Math.max(refreshMs, other.refreshMs),
                Math.max(offlineMs, other.offlineMs), hours | other.hours);
    }

    static Given of(WorkloadRow row) {
        return new Given(row.uses, row.firstMs, row.lastMs, row.longestS, row.latestEnd, row.refreshMs, row.offlineMs, row.hours);
    }

    /** To what is stored, which another node may have added to meanwhile. */
    void addTo(WorkloadRow row) {
        row.days += days(row.lastMs);
        row.uses += uses;
        row.firstMs = row.firstMs == 0 ? firstMs : Math.min(row.firstMs, firstMs);
        row.lastMs = Math.max(row.lastMs, lastMs);
        row.longestS = Math.max(row.longestS, longestS);
        row.latestEnd = Math.max(row.latestEnd, latestEnd);
        row.refreshMs = Math.max(row.refreshMs, refreshMs);
        row.offlineMs = Math.max(row.offlineMs, offlineMs);
        row.hours |= hours;
    }

    /** How many days are new: a batch is of seconds, and may reach over midnight. */
    private int days(long knownMs) {
        return (firstMs / DAY_MS > knownMs / DAY_MS ? 1 : 0) + (lastMs / DAY_MS > Math.max(knownMs, firstMs) / DAY_MS ? 1 : 0);
    }
}
