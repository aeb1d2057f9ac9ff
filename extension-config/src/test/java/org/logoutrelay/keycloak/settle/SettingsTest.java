package org.logoutrelay.keycloak.settle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SettingsTest {
    @ParameterizedTest
    @ValueSource(strings = {"https://relay.example.org/events", "http://127.0.0.1:8484/events", "http://[::1]:8484/events"})
    void anAddressThatIsEncryptedOrLocalIsTaken(String url) {
        assertEquals(url, Settings.pushUrl(url, false).toString());
    }

    @ParameterizedTest
    @ValueSource(strings = {"http://192.0.2.1/events", "ftp://relay.example.org", "relay.example.org", "https://user@relay.example.org/",
            "https://relay.example.org/#x", "not a url"})
    void anyOtherIsRefusedByNameWithAnExample(String url) {
        String message = assertThrows(IllegalArgumentException.class, () -> Settings.pushUrl(url, false)).getMessage();
        assertTrue(message.contains("push-url") && message.contains("https://logout-relay.example.org/events"), message);
    }

    @Test
    void plainHttpElsewhereTakesTheNamedException() {
        assertEquals("http://192.0.2.1/events", Settings.pushUrl("http://192.0.2.1/events", true).toString());
    }

    @ParameterizedTest
    @ValueSource(ints = {-1, 0, 499, 3_600_001})
    void directoriesAreLookedAtNeitherTooOftenNorHardlyEver(int millis) {
        String message = assertThrows(IllegalArgumentException.class, () -> Settings.directories(millis)).getMessage();
        assertTrue(message.contains("directories-every-ms") && message.contains("30000"), message);
        assertEquals(500, Settings.directories(500).toMillis());
    }
}
