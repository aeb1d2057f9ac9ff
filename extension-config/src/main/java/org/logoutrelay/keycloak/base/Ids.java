package org.logoutrelay.keycloak.base;

import java.security.SecureRandom;
import java.util.UUID;

/**
 * Ids in the order of time: UUIDs of version 7 (RFC 9562 §5.7). What is written together lies together in every index over
 * them, in this database and in the relay's store, where ids without order cost each delivery half of its writes.
 */
public final class Ids {
    private static final SecureRandom RANDOM = new SecureRandom();

    private Ids() {
    }

    public static String next() {
        long high = System.currentTimeMillis() << 16 | 0x7000 | RANDOM.nextInt(0x1000);
        long low = Long.MIN_VALUE | RANDOM.nextLong() >>> 2;
        return new UUID(high, low).toString();
    }
}
