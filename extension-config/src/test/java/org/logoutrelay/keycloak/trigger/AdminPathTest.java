package org.logoutrelay.keycloak.trigger;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import org.junit.jupiter.api.Test;

class AdminPathTest {
    @Test
    void aPathIsTheSameHoweverItIsSpelled() {
        for (String spelled : new String[] {"users/1/reset-password", "users/1/reset-password/", "users//1/reset-password",
            "/users/1/reset-password", "users/1/reset-password;v=1", "users/%31/reset-password", "users/1/reset%2Dpassword/"}) {
            assertEquals("users/1/reset-password", AdminPath.of(spelled), spelled);
        }
    }

    @Test
    void anIdKeepsItsOwnSigns() {
        assertEquals("users/f:1:a+b@example.org", AdminPath.of("users/f:1:a+b@example.org/"));
    }

    @Test
    void whatCannotBeDecodedStaysAsItIs() {
        assertEquals("users/%zz", AdminPath.of("users/%zz"));
        assertNull(AdminPath.of(null));
    }
}
