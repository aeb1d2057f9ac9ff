package org.logoutrelay.keycloak.base;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.Set;
import java.util.UUID;
import org.junit.jupiter.api.Test;

class IdsTest {
    @Test
    void idsAreUuidsOfVersion7WithTheirTimeInFront() {
        long before = System.currentTimeMillis();
        Set<String> ids = new HashSet<>();
        for (int i = 0; i < 1000; i++) {
            UUID id = UUID.fromString(Ids.next());
            assertEquals(7, id.version());
            assertEquals(2, id.variant());
            long at = id.getMostSignificantBits() >>> 16;
            assertTrue(at >= before && at <= System.currentTimeMillis());
            ids.add(id.toString());
        }
        assertEquals(1000, ids.size());
    }

    @Test
    void aLaterIdSortsBehindAnEarlierOne() throws InterruptedException {
        String earlier = Ids.next();
        long now = System.currentTimeMillis();
        while (System.currentTimeMillis() == now) {
            Thread.onSpinWait();
        }
        assertTrue(earlier.compareTo(Ids.next()) < 0);
    }

    /** The tests make rows with SQL, which has it as {@code left(encode(sha256('abc'), 'hex'), 16)}. */
    @Test
    void theKeyOfAnIdIsTheFirst64BitsOfItsSha256() {
        assertEquals(0xba7816bf8f01cfeaL, Ids.key("abc"));
        assertEquals("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", Ids.hash("abc"));
    }
}
