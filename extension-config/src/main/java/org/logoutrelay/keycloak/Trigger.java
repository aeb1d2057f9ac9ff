package org.logoutrelay.keycloak;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import org.keycloak.events.admin.AdminEvent;
import org.keycloak.events.admin.OperationType;
import org.keycloak.events.admin.ResourceType;

/**
 * What starts a containment. Adding one is a line in {@link #ADMIN}: which admin event it is, and which CAEP event it
 * becomes.
 *
 * @param id names the trigger in the outbox, the SET and the realm's policy; never renamed
 * @param path the event's resource path; group 1 is the user's id
 * @param eventType the CAEP or RISC event type's URI
 * @param members the event's own members (CAEP 1.0 §3)
 * @param initiatingEntity CAEP's {@code admin}, {@code user}, {@code policy} or {@code system}
 * @param reason one English sentence for the people who read the evidence
 */
record Trigger(String id, ResourceType resource, OperationType operation, Pattern path, String eventType,
        Map<String, String> members, String initiatingEntity, String reason) {

    private static final String CREDENTIAL_CHANGE = "https://schemas.openid.net/secevent/caep/event-type/credential-change";

    static final List<Trigger> ADMIN = List.of(
            new Trigger("admin-reset-password", ResourceType.USER, OperationType.ACTION,
                    Pattern.compile("users/([^/]+)/reset-password"), CREDENTIAL_CHANGE,
                    Map.of("credential_type", "password", "change_type", "update"), "admin",
                    "An administrator reset the password"));

    /** A trigger that an event has matched, and whose event it is. */
    record Match(Trigger trigger, String userId) {
    }

    /** The trigger that this event is, if it is one. Never throws: it runs before anything is enlisted. */
    static Optional<Match> of(AdminEvent event) {
        if (event.getResourcePath() == null) {
            return Optional.empty();
        }
        for (Trigger trigger : ADMIN) {
            if (trigger.resource == event.getResourceType() && trigger.operation == event.getOperationType()) {
                Matcher path = trigger.path.matcher(event.getResourcePath());
                if (path.matches()) {
                    return Optional.of(new Match(trigger, path.group(1)));
                }
            }
        }
        return Optional.empty();
    }

    /** @throws IllegalStateException for an id that an older or newer jar wrote and this one does not know */
    static Trigger byId(String id) {
        return ADMIN.stream().filter(t -> t.id.equals(id)).findFirst()
                .orElseThrow(() -> new IllegalStateException("Unknown trigger in the outbox: " + id));
    }
}
