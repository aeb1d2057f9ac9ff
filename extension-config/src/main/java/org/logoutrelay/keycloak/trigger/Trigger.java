package org.logoutrelay.keycloak.trigger;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import org.keycloak.events.Details;
import org.keycloak.events.Event;
import org.keycloak.events.EventType;
import org.keycloak.events.admin.AdminEvent;
import org.keycloak.events.admin.OperationType;
import org.keycloak.events.admin.ResourceType;
import org.logoutrelay.keycloak.base.RequestPath;

import static org.logoutrelay.keycloak.trigger.Policy.Step.BROKER_TOKENS;
import static org.logoutrelay.keycloak.trigger.Policy.Step.CONSENTS;
import static org.logoutrelay.keycloak.trigger.Policy.Step.PEOPLE;
import static org.logoutrelay.keycloak.trigger.Policy.Step.RECENT_FACTORS;
import static org.logoutrelay.keycloak.trigger.Policy.Step.REGISTRATION_TOKEN;
import static org.logoutrelay.keycloak.trigger.Policy.Step.SHARES;
import static org.logoutrelay.keycloak.trigger.Policy.Step.STEP_UP;

/**
 * What starts a containment, one line each in {@link #ALL}. What each one causes by default, and why, is in
 * docs/policy.md.
 *
 * @param id names the trigger in the outbox, the SET and the realm's policy; never renamed
 * @param when the event that says so, or null for those that {@link Changes}, the endpoints and the look at directories find
 * @param type the CAEP or RISC event
 * @param initiatingEntity CAEP's {@code admin}, {@code user}, {@code policy} or {@code system}
 * @param reason one English sentence for the people who read the evidence
 * @param steps what it causes unless the realm's policy says otherwise; null: nothing
 */
public record Trigger(String id, When when, Type type, String initiatingEntity, String reason, Set<Policy.Step> steps) {

    private static final Set<Policy.Step> ALL_ACCESS = Set.of(CONSENTS, SHARES, BROKER_TOKENS, RECENT_FACTORS, STEP_UP);
    private static final Set<Policy.Step> SESSIONS_ONLY = Set.of();
    private static final Set<Policy.Step> CLIENT_TOKENS = Set.of(PEOPLE);
    private static final Set<Policy.Step> ALL_OF_A_CLIENT = Set.of(PEOPLE, REGISTRATION_TOKEN);
    private static final Set<Policy.Step> OFF = null;

    static final Trigger ADMIN_SET_PASSWORD = new Trigger("admin-set-password", null, Type.PASSWORD_CHANGED, "admin",
            "An administrator set a password while updating the user", ALL_ACCESS);
    static final Trigger ADMIN_CREDENTIAL_CHANGED = new Trigger("admin-credential-changed", null, Type.CREDENTIAL_CHANGED,
            "admin", "An administrator added, replaced or removed a credential", SESSIONS_ONLY);
    static final Trigger ACCOUNT_DISABLED = new Trigger("account-disabled", null, Type.ACCOUNT_DISABLED, "admin",
            "The account was disabled", ALL_ACCESS);
    public static final Trigger ACCOUNT_DELETED = new Trigger("account-deleted", null, Type.ACCOUNT_PURGED, "admin",
            "The account was deleted", SESSIONS_ONLY);
    static final Trigger EMAIL_CHANGED = new Trigger("email-changed", null, Type.IDENTIFIER_CHANGED, "user",
            "The email address was changed", SESSIONS_ONLY);
    static final Trigger USERNAME_CHANGED = new Trigger("username-changed", null, Type.IDENTIFIER_CHANGED, "admin",
            "The user name was changed", OFF);
    static final Trigger PRIVILEGED_ROLE_ADDED = new Trigger("privileged-role-added", null, Type.SESSION_REVOKED, "admin",
            "A privileged role was given to the user", SESSIONS_ONLY);
    public static final Trigger ADMIN_IDENTITY_PROVIDER_REMOVED = new Trigger("admin-identity-provider-removed",
            admin(ResourceType.USER, OperationType.DELETE, "users/([^/]+)/federated-identity/[^/]+"), Type.SESSION_REVOKED, "admin",
            "An administrator removed a link to an identity provider", SESSIONS_ONLY);
    public static final Trigger OPERATOR = new Trigger("operator", null, Type.SESSION_REVOKED, "admin",
            "An operator or a program asked for it", ALL_ACCESS);

    public static final Trigger DIRECTORY_PASSWORD_CHANGED = new Trigger("directory-password-changed", null, Type.PASSWORD_CHANGED,
            "system", "The password was changed in the directory", ALL_ACCESS);
    public static final Trigger DIRECTORY_ACCOUNT_DISABLED = new Trigger("directory-account-disabled", null, Type.ACCOUNT_DISABLED,
            "system", "The account was disabled in the directory", ALL_ACCESS);
    public static final Trigger DIRECTORY_ACCOUNT_DELETED = new Trigger("directory-account-deleted", null, Type.ACCOUNT_PURGED,
            "system", "The account is no longer in the directory", SESSIONS_ONLY);

    static final Trigger UPSTREAM_PASSWORD_CHANGED = new Trigger("upstream-password-changed", null, Type.PASSWORD_CHANGED,
            "system", "The password was changed at the identity provider that the user is linked to, or is known to others", ALL_ACCESS);
    static final Trigger UPSTREAM_CREDENTIAL_CHANGED = new Trigger("upstream-credential-changed", null, Type.CREDENTIAL_CHANGED,
            "system", "Another credential was changed at the identity provider that the user is linked to", SESSIONS_ONLY);
    static final Trigger UPSTREAM_ACCOUNT_DISABLED = new Trigger("upstream-account-disabled", null, Type.ACCOUNT_DISABLED,
            "system", "The account was disabled or deleted at the identity provider that the user is linked to", ALL_ACCESS);
    static final Trigger UPSTREAM_SESSIONS_REVOKED = new Trigger("upstream-sessions-revoked", null, Type.SESSION_REVOKED,
            "system", "The identity provider that the user is linked to has revoked the user's sessions", SESSIONS_ONLY);
    static final Trigger UPSTREAM_ASSURANCE_DECREASED = new Trigger("upstream-assurance-decreased", null, Type.SESSION_REVOKED,
            "system", "The identity provider that the user is linked to is less sure of the user than it was", SESSIONS_ONLY);
    static final Trigger UPSTREAM_DEVICE_NOT_COMPLIANT = new Trigger("upstream-device-not-compliant", null, Type.SESSION_REVOKED,
            "system", "A device of the user is not as the identity provider that the user is linked to asks for", SESSIONS_ONLY);
    // Neither says that somebody else has the account, and the link goes by neither.
    static final Trigger UPSTREAM_CLAIMS_CHANGED = new Trigger("upstream-claims-changed", null, Type.SESSION_REVOKED,
            "system", "The identity provider that the user is linked to says other things of the user than it did", OFF);
    static final Trigger UPSTREAM_IDENTIFIER_CHANGED = new Trigger("upstream-identifier-changed", null, Type.IDENTIFIER_CHANGED,
            "system", "The user's address was changed at the identity provider that the user is linked to", OFF);
    static final Trigger UPSTREAM_LOGOUT = new Trigger("upstream-logout", null, Type.SESSION_REVOKED, "system",
            "The identity provider that the user logged in by has signed the user out", SESSIONS_ONLY);
    public static final Trigger DOWNSTREAM_SESSIONS_REVOKED = new Trigger("downstream-sessions-revoked", null, Type.SESSION_REVOKED,
            "system", "A realm behind this one, which takes its logins from here, has ended all that the user has there", SESSIONS_ONLY);
    static final Trigger CLIENT_SECRET_CHANGED = new Trigger("client-secret-changed", null, Type.CREDENTIAL_CHANGED, "admin",
            "The client got a new secret, or an old one was withdrawn", SESSIONS_ONLY);
    static final Trigger CLIENT_KEYS_CHANGED = new Trigger("client-keys-changed", null, Type.CREDENTIAL_CHANGED, "admin",
            "The keys or the certificate that the client proves itself by were changed", SESSIONS_ONLY);
    static final Trigger CLIENT_AUTHENTICATION_CHANGED = new Trigger("client-authentication-changed", null, Type.SESSION_REVOKED,
            "admin", "How the client proves itself was changed, or that it has to", SESSIONS_ONLY);
    static final Trigger CLIENT_DISABLED = new Trigger("client-disabled", null, Type.ACCOUNT_DISABLED, "admin",
            "The client was disabled", CLIENT_TOKENS);
    public static final Trigger CLIENT_SERVICE_ACCOUNT_OFF = new Trigger("client-service-account-off", null, Type.ACCOUNT_DISABLED,
            "admin", "The client lost its service account", SESSIONS_ONLY);
    public static final Trigger CLIENT_DELETED = new Trigger("client-deleted", null, Type.ACCOUNT_PURGED, "admin",
            "The client was deleted", CLIENT_TOKENS);
    public static final Trigger CLIENT_CONTAINED = new Trigger("client-contained", null, Type.SESSION_REVOKED, "admin",
            "An operator or a program asked for it", ALL_OF_A_CLIENT);

    public static final Trigger REALM_LOGOUT = new Trigger("realm-logout", null, Type.SESSION_REVOKED, "admin",
            "An administrator signed everybody out", SESSIONS_ONLY);

    public static final List<Trigger> ALL = List.of(
            new Trigger("admin-reset-password",
                    admin(ResourceType.USER, OperationType.ACTION, "users/([^/]+)/reset-password"), Type.PASSWORD_CHANGED,
                    "admin", "An administrator reset the password", ALL_ACCESS),
            ADMIN_SET_PASSWORD,
            new Trigger("user-update-password", user(EventType.UPDATE_CREDENTIAL),
                    Type.PASSWORD_CHANGED, "user", "The user changed the password", ALL_ACCESS),
            new Trigger("admin-credential-removed",
                    admin(ResourceType.USER, OperationType.ACTION, "users/([^/]+)/(?:credentials/[^/]+|disable-credential-types)"),
                    Type.CREDENTIAL_DELETED, "admin", "An administrator removed a credential", SESSIONS_ONLY),
            ADMIN_CREDENTIAL_CHANGED,
            new Trigger("user-credential-changed", user(EventType.UPDATE_CREDENTIAL),
                    Type.CREDENTIAL_CHANGED, "user", "The user added or replaced a credential", SESSIONS_ONLY),
            new Trigger("user-credential-removed", user(EventType.REMOVE_CREDENTIAL),
                    Type.CREDENTIAL_DELETED, "user", "The user removed a credential", SESSIONS_ONLY),
            ACCOUNT_DISABLED,
            ACCOUNT_DELETED,
            EMAIL_CHANGED,
            USERNAME_CHANGED,
            PRIVILEGED_ROLE_ADDED,
            ADMIN_IDENTITY_PROVIDER_REMOVED,
            new Trigger("user-identity-provider-removed", user(EventType.REMOVE_FEDERATED_IDENTITY), Type.SESSION_REVOKED,
                    "user", "The user removed a link to an identity provider", SESSIONS_ONLY),
            new Trigger("admin-logout", admin(ResourceType.USER, OperationType.ACTION, "users/([^/]+)/logout"),
                    Type.SESSION_REVOKED, "admin", "An administrator signed the user out", SESSIONS_ONLY),
            new Trigger("session-removed", session(ResourceType.USER_SESSION, OperationType.DELETE, "sessions/([^/]+)"),
                    Type.SESSION_REVOKED, "admin", "An administrator ended one session", SESSIONS_ONLY),
            REALM_LOGOUT,
            new Trigger("user-logout", session(EventType.LOGOUT), Type.SESSION_REVOKED, "user", "The user signed out", OFF),
            // Whoever has a list of user names could sign everybody out without a password.
            new Trigger("brute-force-lockout",
                    user(EventType.USER_DISABLED_BY_TEMPORARY_LOCKOUT, EventType.USER_DISABLED_BY_PERMANENT_LOCKOUT),
                    Type.SESSION_REVOKED, "policy", "Too many failed logins locked the account", OFF),
            DIRECTORY_PASSWORD_CHANGED,
            DIRECTORY_ACCOUNT_DISABLED,
            DIRECTORY_ACCOUNT_DELETED,
            UPSTREAM_PASSWORD_CHANGED,
            UPSTREAM_CREDENTIAL_CHANGED,
            UPSTREAM_ACCOUNT_DISABLED,
            UPSTREAM_SESSIONS_REVOKED,
            UPSTREAM_ASSURANCE_DECREASED,
            UPSTREAM_DEVICE_NOT_COMPLIANT,
            UPSTREAM_CLAIMS_CHANGED,
            UPSTREAM_IDENTIFIER_CHANGED,
            UPSTREAM_LOGOUT,
            DOWNSTREAM_SESSIONS_REVOKED,
            OPERATOR,
            CLIENT_SECRET_CHANGED,
            CLIENT_KEYS_CHANGED,
            CLIENT_AUTHENTICATION_CHANGED,
            CLIENT_DISABLED,
            CLIENT_SERVICE_ACCOUNT_OFF,
            CLIENT_DELETED,
            CLIENT_CONTAINED);

    /** Whether it is about a client, and its service account, and not about a person. */
    public boolean isOfClient() {
        return id.startsWith("client-");
    }

    /** Whether an identity provider says it, so that the realm may have a policy of its own for each. */
    boolean isOfUpstream() {
        return id.startsWith("upstream-");
    }

    /** The event's type URI, and the members that CAEP 1.0 §3 or RISC 1.0 §2 ask for. */
    public enum Type {
        PASSWORD_CHANGED("caep/event-type/credential-change", Map.of("credential_type", "password", "change_type", "update")),
        CREDENTIAL_CHANGED("caep/event-type/credential-change", Map.of("change_type", "update")),
        CREDENTIAL_DELETED("caep/event-type/credential-change", Map.of("change_type", "delete")),
        SESSION_REVOKED("caep/event-type/session-revoked", Map.of()),
        ACCOUNT_DISABLED("risc/event-type/account-disabled", Map.of()),
        ACCOUNT_PURGED("risc/event-type/account-purged", Map.of()),
        IDENTIFIER_CHANGED("risc/event-type/identifier-changed", Map.of());

        private final String uri;
        private final Map<String, String> members;

        Type(String path, Map<String, String> members) {
            this.uri = "https://schemas.openid.net/secevent/" + path;
            this.members = members;
        }

        public String uri() {
            return uri;
        }

        public Map<String, String> members() {
            return members;
        }
    }

    /** An admin event by resource, operation and path (group 1 is a user's or a session's id), or user events by type. */
    record When(ResourceType resource, OperationType operation, Pattern path, Set<EventType> types, boolean oneSession) {
    }

    private static When admin(ResourceType resource, OperationType operation, String path) {
        return new When(resource, operation, Pattern.compile(path), Set.of(), false);
    }

    private static When user(EventType... types) {
        return new When(null, null, null, Set.of(types), false);
    }

    private static When session(ResourceType resource, OperationType operation, String path) {
        return new When(resource, operation, Pattern.compile(path), Set.of(), true);
    }

    private static When session(EventType type) {
        return new When(null, null, null, Set.of(type), true);
    }

    /**
     * A trigger that has fired.
     *
     * @param userId null for one session that an administrator ended: Keycloak does not say whose it was
     * @param sid the one session that it is about, or null for all of the user's
     * @param detail the type of the credential, or null
     * @param asked who asked for it, or null where it just happened
     * @param upstream the identity provider that has said so, or null
     * @param atMs when it was, or null for now
     */
    public record Match(Trigger trigger, String userId, String sid, String detail, Asked asked, Upstream upstream, Long atMs) {
        public Match(Trigger trigger, String userId, String sid, String detail) {
            this(trigger, userId, sid, detail, null, null, null);
        }

        public Match(Trigger trigger, String userId) {
            this(trigger, userId, null, null);
        }

        public Match(Trigger trigger, String userId, long atMs) {
            this(trigger, userId, null, null, null, null, atMs);
        }

        public Match(Trigger trigger, String userId, Asked asked) {
            this(trigger, userId, null, null, asked, null, null);
        }
    }

    /**
     * The word of an identity provider that the user is linked to, or of a realm behind this one.
     *
     * @param iss who it is
     * @param txn what it calls the event, in all that it tells of it (RFC 8417 §2.2)
     */
    public record Upstream(String iss, String txn) {
    }

    /**
     * A person's or a program's own word.
     *
     * @param txn what they are told to find the containment by
     * @param by the {@code sub} of their access token
     * @param clientId the client that it was issued to
     */
    public record Asked(String txn, String by, String clientId, String reason) {
    }

    /** The trigger that this event is, if it is one. Never throws: it runs before anything is enlisted. */
    public static Optional<Match> of(AdminEvent event) {
        String normal = RequestPath.of(event.getResourcePath());
        if (normal == null) {
            return Optional.empty();
        }
        for (Trigger trigger : ALL) {
            When when = trigger.when;
            if (when != null && when.resource != null && when.resource == event.getResourceType()
                    && when.operation == event.getOperationType()) {
                Matcher path = when.path.matcher(normal);
                if (path.matches()) {
                    return Optional.of(when.oneSession ? new Match(trigger, null, path.group(1), null)
                            : new Match(trigger, path.group(1), null, detail(event.getDetails())));
                }
            }
        }
        return Optional.empty();
    }

    /** The same for what a user does. Keycloak tells it a second time by older names (UPDATE_PASSWORD), not looked at. */
    public static Optional<Match> of(Event event) {
        if (event.getUserId() == null) {
            return Optional.empty();
        }
        String detail = detail(event.getDetails());
        for (Trigger trigger : ALL) {
            if (trigger.when != null && trigger.when.types.contains(event.getType())
                    && (trigger.type != Type.PASSWORD_CHANGED || "password".equals(detail))) {
                return trigger.when.oneSession && event.getSessionId() == null ? Optional.empty()
                        : Optional.of(new Match(trigger, event.getUserId(),
                                trigger.when.oneSession ? event.getSessionId() : null, detail));
            }
        }
        return Optional.empty();
    }

    private static String detail(Map<String, String> details) {
        return details == null ? null : details.get(Details.CREDENTIAL_TYPE);
    }

    /** @throws IllegalStateException for an id that an older or newer jar wrote and this one does not know */
    public static Trigger byId(String id) {
        return ALL.stream().filter(t -> t.id.equals(id)).findFirst()
                .orElseThrow(() -> new IllegalStateException("Unknown trigger in the outbox: " + id));
    }
}
