package org.logoutrelay.keycloak.upstream;

import java.util.Map;
import java.util.Optional;

import org.logoutrelay.keycloak.trigger.Trigger;

/** What the events of CAEP 1.0 and RISC 1.0 mean here. */
final class Said {
    /** What the relay calls a request of Global Token Revocation, which has no type of its own. */
    private static final String REVOCATION = "global-token-revocation";
    private static final String CREDENTIAL_CHANGE = caep("credential-change");
    private static final String ASSURANCE_LEVEL_CHANGE = caep("assurance-level-change");
    private static final String DEVICE_COMPLIANCE_CHANGE = caep("device-compliance-change");
    private static final String PASSWORD = "password";

    private static final Map<String, String> TRIGGERS = Map.ofEntries(
            Map.entry(REVOCATION, "upstream-sessions-revoked"),
            Map.entry(CREDENTIAL_CHANGE, "upstream-credential-changed"),
            Map.entry(caep("session-revoked"), "upstream-sessions-revoked"),
            Map.entry(risc("sessions-revoked"), "upstream-sessions-revoked"),
            Map.entry(risc("account-disabled"), "upstream-account-disabled"),
            Map.entry(risc("account-purged"), "upstream-account-disabled"),
            Map.entry(risc("account-credential-change-required"), "upstream-password-changed"),
            Map.entry(risc("credential-compromise"), "upstream-password-changed"),
            Map.entry(ASSURANCE_LEVEL_CHANGE, "upstream-assurance-decreased"),
            Map.entry(DEVICE_COMPLIANCE_CHANGE, "upstream-device-not-compliant"),
            Map.entry(caep("token-claims-change"), "upstream-claims-changed"),
            Map.entry(risc("identifier-changed"), "upstream-identifier-changed"));

    private Said() {
    }

    /** @return empty for what means nothing here, or is for the better */
    static Optional<Trigger> trigger(Upstreams.Event event) {
        if (isForTheBetter(event)) {
            return Optional.empty();
        }
        String id = CREDENTIAL_CHANGE.equals(event.type()) && PASSWORD.equals(event.credential()) ? "upstream-password-changed"
                : TRIGGERS.get(event.type());
        return Optional.ofNullable(id).map(Trigger::byId);
    }

    /** The same of a realm behind this one, which can ask for everything of a user to be ended and for nothing else. */
    static Optional<Trigger> triggerOfDownstream(Upstreams.Event event) {
        return REVOCATION.equals(event.type()) ? Optional.of(Trigger.DOWNSTREAM_SESSIONS_REVOKED) : Optional.empty();
    }

    /** A direction may be left out, and a status that is neither is none of CAEP's: then it is taken to be for the worse. */
    private static boolean isForTheBetter(Upstreams.Event event) {
        return ASSURANCE_LEVEL_CHANGE.equals(event.type()) && "increase".equals(event.direction())
                || DEVICE_COMPLIANCE_CHANGE.equals(event.type()) && "compliant".equals(event.status());
    }

    private static String caep(String event) {
        return "https://schemas.openid.net/secevent/caep/event-type/" + event;
    }

    private static String risc(String event) {
        return "https://schemas.openid.net/secevent/risc/event-type/" + event;
    }
}
