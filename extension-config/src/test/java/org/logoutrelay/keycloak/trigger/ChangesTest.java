package org.logoutrelay.keycloak.trigger;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Map;
import java.util.Optional;

import org.junit.jupiter.api.Test;

class ChangesTest {
    private static final Changes.Secret PASSWORD = new Changes.Secret("password", "hash");
    private static final Changes.Secret OTP = new Changes.Secret("otp", "secret");
    private static final Changes WAS = new Changes(true, "alice", "alice@example.org", Map.of("1", PASSWORD, "2", OTP));

    private static void changed(Trigger expected, Changes is) {
        assertEquals(Optional.ofNullable(expected), Changes.triggers(WAS, is).findFirst());
    }

    @Test
    void theSameIsNoTrigger() {
        changed(null, new Changes(true, "alice", "alice@example.org", Map.of("2", OTP, "1", PASSWORD)));
    }

    @Test
    void anotherHashAnotherPasswordAndNoneAreAChangeOfThePassword() {
        changed(Trigger.ADMIN_SET_PASSWORD, new Changes(true, "alice", "alice@example.org",
                Map.of("1", new Changes.Secret("password", "other"), "2", OTP)));
        changed(Trigger.ADMIN_SET_PASSWORD, new Changes(true, "alice", "alice@example.org",
                Map.of("1", PASSWORD, "3", PASSWORD, "2", OTP)));
        changed(Trigger.ADMIN_SET_PASSWORD, new Changes(true, "alice", "alice@example.org", Map.of("2", OTP)));
    }

    @Test
    void thePasswordCountsMoreThanWhatElseChanged() {
        changed(Trigger.ADMIN_SET_PASSWORD, new Changes(false, "bob", "bob@example.org", Map.of("2", OTP)));
    }

    @Test
    void eachOfSeveralChangesCanStandForAllWhereTheOthersAreOff() {
        assertEquals(List.of(Trigger.ADMIN_SET_PASSWORD, Trigger.ACCOUNT_DISABLED, Trigger.ADMIN_CREDENTIAL_CHANGED,
                Trigger.EMAIL_CHANGED, Trigger.USERNAME_CHANGED), Changes.triggers(WAS, new Changes(false, "bob", null, Map.of())).toList());
        assertEquals(List.of(Trigger.ADMIN_SET_PASSWORD),
                Changes.triggers(WAS, new Changes(true, "alice", "alice@example.org", Map.of("2", OTP))).toList());
    }

    @Test
    void otherCredentialsAndIdentifiersHaveTheirOwn() {
        changed(Trigger.ACCOUNT_DISABLED, new Changes(false, "alice", "alice@example.org", WAS.credentials()));
        changed(Trigger.ADMIN_CREDENTIAL_CHANGED, new Changes(true, "alice", "alice@example.org", Map.of("1", PASSWORD)));
        changed(Trigger.EMAIL_CHANGED, new Changes(true, "alice", null, WAS.credentials()));
        changed(Trigger.USERNAME_CHANGED, new Changes(true, "bob", "alice@example.org", WAS.credentials()));
    }

    @Test
    void enablingIsNoTrigger() {
        assertEquals(Optional.empty(), Changes.triggers(new Changes(false, "a", "a@x", Map.of()),
                new Changes(true, "a", "a@x", Map.of())).findFirst());
    }
}
