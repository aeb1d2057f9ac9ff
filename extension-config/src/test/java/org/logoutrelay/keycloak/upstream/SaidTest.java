package org.logoutrelay.keycloak.upstream;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Optional;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.logoutrelay.keycloak.trigger.Trigger;

class SaidTest {
    @ParameterizedTest
    @CsvSource({
        "caep, credential-change, password, upstream-password-changed",
        "caep, credential-change, fido2-roaming, upstream-credential-changed",
        "caep, credential-change,, upstream-credential-changed",
        "caep, session-revoked,, upstream-sessions-revoked",
        "risc, sessions-revoked,, upstream-sessions-revoked",
        "risc, account-disabled,, upstream-account-disabled",
        "risc, account-purged,, upstream-account-disabled",
        "risc, account-credential-change-required,, upstream-password-changed",
        "risc, credential-compromise, email, upstream-password-changed",
    })
    void eachEventThatEndsSomethingHasATrigger(String profile, String event, String credential, String trigger) {
        assertEquals(Optional.of(trigger),
                Said.trigger("https://schemas.openid.net/secevent/" + profile + "/event-type/" + event, credential).map(Trigger::id));
    }

    @Test
    void whatEndsNothingHasNone() {
        assertEquals(Optional.empty(), Said.trigger("https://schemas.openid.net/secevent/caep/event-type/device-compliance-change", null));
        assertEquals(Optional.empty(), Said.trigger("operator", null));
        assertEquals(Optional.empty(), Said.trigger("upstream-sessions-revoked", null));
    }

    @Test
    void anEventIsDatedByItsOwnTimeAndNeverByOneThatIsYetToCome() {
        assertEquals(5_999, Upstreams.watermarkMs(5_001L, 90_000));
        assertEquals(90_999, Upstreams.watermarkMs(123_456L, 90_000));
        assertEquals(90_999, Upstreams.watermarkMs(null, 90_000));
    }
}
