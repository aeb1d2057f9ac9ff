package org.logoutrelay.keycloak.settle;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

import org.junit.jupiter.api.Test;

class BeatsTest {
    @Test
    void whateverHangsHoldsUpNoOther() throws InterruptedException {
        Beats beats = new Beats();
        try {
            CountDownLatch hanging = new CountDownLatch(3);
            CountDownLatch beaten = new CountDownLatch(3);
            for (int n = 0; n < 3; n++) {
                beats.start("hangs", 1, () -> {
                    hanging.countDown();
                    hang();
                });
            }
            assertTrue(hanging.await(30, TimeUnit.SECONDS));
            beats.start("goes on", 1, beaten::countDown);
            assertTrue(beaten.await(30, TimeUnit.SECONDS));
        } finally {
            beats.close();
        }
    }

    private static void hang() {
        try {
            new CountDownLatch(1).await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
