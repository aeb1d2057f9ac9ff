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
        "caep, token-claims-change,, upstream-claims-changed",
        "risc, identifier-changed,, upstream-identifier-changed",
    })
    void eachEventThatMeansSomethingHasATrigger(String profile, String event, String credential, String trigger) {
        assertEquals(Optional.of(trigger),
                Said.trigger(event("https://schemas.openid.net/secevent/" + profile + "/event-type/" + event, credential)).map(Trigger::id));
    }

    private static Upstreams.Event event(String type, String credential) {
        return new Upstreams.Event(type, credential, null, null);
    }

    /** CAEP 1.0 §3.4 and §3.5; a direction may be left out there. */
    @ParameterizedTest
    @CsvSource({
        "assurance-level-change, decrease,, upstream-assurance-decreased",
        "assurance-level-change,,, upstream-assurance-decreased",
        "assurance-level-change, INCREASE,, upstream-assurance-decreased",
        "assurance-level-change,, compliant, upstream-assurance-decreased",
        "assurance-level-change, increase,,",
        "device-compliance-change,, not-compliant, upstream-device-not-compliant",
        "device-compliance-change,,, upstream-device-not-compliant",
        "device-compliance-change, increase,, upstream-device-not-compliant",
        "device-compliance-change,, compliant,",
    })
    void whatIsForTheBetterEndsNothingAndWhatMayBeForTheWorseDoes(String event, String direction, String status, String trigger) {
        assertEquals(Optional.ofNullable(trigger), Said.trigger(new Upstreams.Event(
                "https://schemas.openid.net/secevent/caep/event-type/" + event, "password", direction, status)).map(Trigger::id));
    }

    @Test
    void whatEndsNothingHasNone() {
        assertEquals(Optional.empty(), Said.trigger(event("https://schemas.openid.net/secevent/caep/event-type/session-presented", null)));
        assertEquals(Optional.empty(), Said.trigger(event("operator", null)));
        assertEquals(Optional.empty(), Said.trigger(event("upstream-sessions-revoked", null)));
    }

    @Test
    void aRealmBehindCanAskForAnEndAndSayNothingElse() {
        assertEquals(Optional.of("downstream-sessions-revoked"),
                Said.triggerOfDownstream(event("global-token-revocation", null)).map(Trigger::id));
        assertEquals(Optional.empty(), Said.triggerOfDownstream(event("https://schemas.openid.net/secevent/risc/event-type/account-disabled", null)));
        assertEquals(Optional.empty(), Said.triggerOfDownstream(event("downstream-sessions-revoked", null)));
    }

    @Test
    void anEventIsDatedByItsOwnTimeAndNeverByOneThatIsYetToCome() {
        assertEquals(5_999, Upstreams.watermarkMs(5_001L, 90_000));
        assertEquals(90_999, Upstreams.watermarkMs(123_456L, 90_000));
        assertEquals(90_999, Upstreams.watermarkMs(null, 90_000));
    }
}
