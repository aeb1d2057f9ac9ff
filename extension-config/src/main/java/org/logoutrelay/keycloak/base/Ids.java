package org.logoutrelay.keycloak.base;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.HexFormat;
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

    /**
     * The first 64 bits of the id's SHA-256: an index over these is a third of one over the ids. Ids are looked up by both,
     * since whoever chooses ids may find two with one key.
     */
    public static long key(String id) {
        return ByteBuffer.wrap(digest(id)).getLong();
    }

    /** SHA-256, hexadecimal. */
    public static String hash(String text) {
        return HexFormat.of().formatHex(digest(text));
    }

    private static byte[] digest(String text) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
