package org.logoutrelay.keycloak.upstream;

import java.util.Map;
import java.util.Optional;

import org.logoutrelay.keycloak.trigger.Trigger;

/** What the events of CAEP 1.0 and RISC 1.0 mean here. */
final class Said {
    /** What the relay calls a request of Global Token Revocation, which has no type of its own. */
    private static final String REVOCATION = "global-token-revocation";
    private static final String CREDENTIAL_CHANGE = caep("credential-change");
    private static final String PASSWORD = "password";

    private static final Map<String, String> TRIGGERS = Map.of(
            REVOCATION, "upstream-sessions-revoked",
            caep("session-revoked"), "upstream-sessions-revoked",
            risc("sessions-revoked"), "upstream-sessions-revoked",
            risc("account-disabled"), "upstream-account-disabled",
            risc("account-purged"), "upstream-account-disabled",
            risc("account-credential-change-required"), "upstream-password-changed",
            risc("credential-compromise"), "upstream-password-changed");

    private Said() {
    }

    /** @param credential CAEP's {@code credential_type}, or null @return empty for what means nothing here */
    static Optional<Trigger> trigger(String type, String credential) {
        String id = CREDENTIAL_CHANGE.equals(type)
                ? PASSWORD.equals(credential) ? "upstream-password-changed" : "upstream-credential-changed" : TRIGGERS.get(type);
        return Optional.ofNullable(id).map(Trigger::byId);
    }

    private static String caep(String event) {
        return "https://schemas.openid.net/secevent/caep/event-type/" + event;
    }

    private static String risc(String event) {
        return "https://schemas.openid.net/secevent/risc/event-type/" + event;
    }
}
