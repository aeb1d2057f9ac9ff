package org.logoutrelay.keycloak.rest;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;

import org.jboss.logging.Logger;
import org.keycloak.common.Version;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.RoleModel;
import org.keycloak.representations.AccessToken;
import org.keycloak.services.managers.AppAuthManager;
import org.keycloak.services.managers.AuthenticationManager.AuthResult;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.LogoutRelay;
import org.logoutrelay.keycloak.client.Issuers;
import org.logoutrelay.keycloak.client.RelyingParty;
import org.logoutrelay.keycloak.containment.RealmLogout;
import org.logoutrelay.keycloak.directory.Directories;
import org.logoutrelay.keycloak.outbox.Answers;
import org.logoutrelay.keycloak.outbox.LogoutTokens;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.outbox.OutboxRow;
import org.logoutrelay.keycloak.outbox.SecurityEventToken;
import org.logoutrelay.keycloak.rotation.Rotations;
import org.logoutrelay.keycloak.settle.AfterCommit;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.trigger.Trigger;
import org.logoutrelay.keycloak.upstream.Upstreams;

import com.fasterxml.jackson.annotation.JsonProperty;

import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.DefaultValue;
import jakarta.ws.rs.ForbiddenException;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.NotAuthorizedException;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.QueryParam;
import jakarta.ws.rs.core.CacheControl;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;

/**
 * All that the relay may ask, each endpoint behind the role of the client {@code logout-relay} that is named like it, and
 * what it passes on.
 * Nothing here blocks: Keycloak's worker threads are few. The formats are in docs/protocol.md.
 */
@Produces(MediaType.APPLICATION_JSON)
@Consumes(MediaType.APPLICATION_JSON)
public final class Endpoints {
    private static final Logger LOG = Logger.getLogger(Endpoints.class);
    private static final String CLIENT = "logout-relay";
    private static final int MAX_EVENTS = 50;
    /** Each costs a look into the table, in the one transaction of the request. */
    private static final int MAX_ACKS = 500;
    private static final int MAX_IDS = 100;
    private static final int MAX_ANSWERS = 500;
    private static final int MAX_CLIENTS = 500;
    private static final int MAX_ROWS = 500;
    /** All of them name one user, as a rule. */
    private static final int MAX_SUBJECTS = 20;
    private static final Pattern CURSOR = Pattern.compile("\\d{1,15}:[0-9a-f-]{36}");
    private static final int MAX_REASON = 500;

    private final KeycloakSession session;
    private final AfterCommit afterCommit;

    public Endpoints(KeycloakSession session, AfterCommit afterCommit) {
        this.session = session;
        this.afterCommit = afterCommit;
    }

    /** RFC 8936 §2.2. {@code returnImmediately} may be given and changes nothing. */
    public record PollRequest(Integer maxEvents, Boolean returnImmediately, List<String> ack,
            Map<String, SetError> setErrs) {
    }

    /** @param sinceMs milliseconds since the epoch; null for the rows that are not complete */
    public record RowsRequest(@JsonProperty("since_ms") Long sinceMs, String after) {
    }

    public record SetsRequest(List<String> jtis) {
    }

    /** RFC 8936 §2.6. */
    public record SetError(String err, String description) {
    }

    /**
     * @param user the user's id or user name
     * @param client instead of it: a client's client id or id
     */
    public record ContainRequest(String user, String client, String reason, @JsonProperty("dry_run") Boolean dryRun, Boolean confirm) {
    }

    /** @param decision {@code confirm} or {@code dismiss} */
    public record Decision(String id, String decision) {
        boolean isConfirmed() {
            if (decision == null || !decision.matches("confirm|dismiss")) {
                throw Problem.badRequest("decision must be confirm or dismiss");
            }
            return decision.equals("confirm");
        }
    }

    public record MintRequest(List<String> ids) {
    }

    public record ProbeRequest(@JsonProperty("client_id") String clientId) {
    }

    /** One of {@code sub} and {@code email}. */
    public record Named(String sub, String email) {
    }

    /** What an identity provider has said, as the relay has verified it; as {@link Upstreams.Word} has it. */
    public record UpstreamRequest(String issuer, List<Named> subjects, String type, @JsonProperty("credential_type") String credential,
            @JsonProperty("at_ms") Long atMs, String id, String txn) {
    }

    public record AnswersRequest(List<Answers.Answer> answers) {
    }

    @POST
    @Path("outbox")
    public Response poll(PollRequest request) {
        RealmModel realm = requireRole("outbox");
        Given.body(request);
        Issuers.learn(session, realm, Issuers.ofRequest(session, realm));
        int max = request.maxEvents() == null ? MAX_EVENTS : request.maxEvents();
        if (max < 0) {
            throw Problem.badRequest("maxEvents is negative; give 0 to " + MAX_EVENTS);
        }
        max = Math.min(max, MAX_EVENTS);
        Collection<String> taken = Given.atMost("ack", request.ack(), MAX_ACKS, "jtis");
        Map<String, SetError> refused = request.setErrs() == null ? Map.of() : request.setErrs();
        Given.atMost("setErrs", refused.values(), MAX_ACKS, "jtis, each with its err and description");
        taken.forEach(jti -> Outbox.find(session, realm.getId(), jti).ifPresent(row -> Outbox.acknowledge(session, row.jti())));
        refused.forEach((jti, error) -> Outbox.find(session, realm.getId(), jti)
                .ifPresent(row -> Outbox.refuse(row, cut(error.err(), 64), cut(error.description(), 1024))));
        Map<String, String> sets = new LinkedHashMap<>();
        boolean more = false;
        if (max > 0) {
            Outbox.unlisted(session, realm.getId(), max).forEach(afterCommit::list);
            List<OutboxRow> rows = Outbox.pending(session, realm.getId(), max + 1);
            more = rows.size() > max;
            rows.stream().limit(max).forEach(row -> {
                try {
                    sets.put(row.jti(), SecurityEventToken.sign(session, row, afterCommit.audience()));
                } catch (RuntimeException e) {
                    // One row that cannot be signed must not keep the others from the relay.
                    LOG.errorf(e, "Outbox row %s cannot be handed out; it stays, and is tried again", row.jti());
                    Outbox.refuse(row, "unsignable", cut(e.getMessage(), 1024));
                }
            });
        }
        return ok(Map.of("sets", sets, "moreAvailable", more));
    }

    /** For a relay that lost its store: what the outbox holds, by page. */
    @POST
    @Path("outbox/rows")
    public Response rows(RowsRequest request) {
        RealmModel realm = requireRole("outbox");
        Given.body(request);
        if (request.after() != null && !CURSOR.matcher(request.after()).matches()) {
            throw Problem.badRequest("after is not one that this endpoint gave as next");
        }
        Outbox.Page page = request.sinceMs() == null
                ? Outbox.incomplete(session, realm.getId(), request.after(), MAX_ROWS)
                : Outbox.since(session, realm.getId(), request.sinceMs(), request.after(), MAX_ROWS);
        Map<String, Object> answer = new LinkedHashMap<>(Map.of("jtis", page.jtis()));
        if (page.next() != null) {
            answer.put("next", page.next());
        }
        return ok(answer);
    }

    /** The same SETs again, with the same {@code jti}s, acknowledged or not, and which of their sessions have an end. */
    @POST
    @Path("outbox/sets")
    public Response sets(SetsRequest request) {
        RealmModel realm = requireRole("outbox");
        List<String> jtis = Given.some("jtis", Given.body(request).jtis(), MAX_EVENTS, "jtis");
        Map<String, String> sets = new LinkedHashMap<>();
        Map<String, String> ended = new LinkedHashMap<>();
        jtis.forEach(jti -> Outbox.find(session, realm.getId(), jti).filter(OutboxRow::isListed)
                .ifPresent(row -> {
                    try {
                        sets.put(jti, SecurityEventToken.sign(session, row, afterCommit.audience()));
                        ended.putAll(Answers.of(session, jti));
                    } catch (RuntimeException e) {
                        LOG.errorf(e, "Outbox row %s cannot be handed out again; it stays", jti);
                    }
                }));
        return ok(Map.of("sets", sets, "ended", ended));
    }

    @POST
    @Path("logout-tokens")
    public Response mint(MintRequest request) {
        RealmModel realm = requireRole("logout-tokens");
        List<String> ids = Given.some("ids", Given.body(request).ids(), MAX_IDS, "session ids");
        return ok(new LogoutTokens(session, realm).mint(ids));
    }

    /** For the check of a relying party: tokens that are genuine and end nothing. */
    @POST
    @Path("logout-tokens/probe")
    public Response probe(ProbeRequest request) {
        RealmModel realm = requireRole("logout-tokens");
        ClientModel client = realm.getClientByClientId(Given.text(Given.body(request).clientId(),
                "client_id is missing; give the client whose tokens are wanted"));
        if (client == null || !RelyingParty.isOidc(client)) {
            throw Problem.refusal(Response.Status.NOT_FOUND, "not_found", "client_id names no OpenID Connect client of this realm");
        }
        return ok(new LogoutTokens(session, realm).probe(client));
    }

    @POST
    @Path("answers")
    public Response answers(AnswersRequest request) {
        RealmModel realm = requireRole("answers");
        List<Answers.Answer> answers = Given.some("answers", Given.body(request).answers(), MAX_ANSWERS, "answers");
        return ok(Answers.record(session, realm, answers));
    }

    /**
     * A person's or a program's own word, with a token of their own: the relay only passes it on, so that a stolen relay
     * can ask for nothing. Policy decides what it causes, and whether it causes anything.
     */
    @POST
    @Path("containments")
    public Response contain(ContainRequest request) {
        AuthResult caller = requireCaller("operate");
        boolean ofClient = Given.body(request).client() != null;
        if (ofClient && request.user() != null) {
            throw Problem.badRequest("user and client are both there; give one of them");
        }
        String subject = ofClient ? Given.text(request.client(), "client is empty; give a client's client id or id")
                : Given.text(request.user(), "user is missing; give a user's id or user name, or client");
        String reason = request.reason() == null ? "" : request.reason().trim();
        if (reason.length() < 3 || reason.length() > MAX_REASON) {
            throw Problem.badRequest("reason must say why, in 3 to " + MAX_REASON + " characters; it goes into the evidence");
        }
        boolean confirmed = Boolean.TRUE.equals(request.confirm());
        if (confirmed && !has(caller, "confirm")) {
            throw Problem.refusal(Response.Status.FORBIDDEN, "insufficient_scope",
                    "To confirm takes the role confirm of the client " + CLIENT);
        }
        Trigger.Asked asked = new Trigger.Asked(Ids.next(), caller.user().getId(), caller.token().getIssuedFor(), reason);
        OperatorContainment containment = new OperatorContainment(session, session.getContext().getRealm(), afterCommit);
        boolean dryRun = Boolean.TRUE.equals(request.dryRun());
        return ok(ofClient ? containment.answerForClient(subject, dryRun, confirmed, asked)
                : containment.answerForUser(subject, dryRun, confirmed, asked));
    }

    /** Who comes with which of a client's secrets, for whoever rotates it. */
    @GET
    @Path("client-rotations")
    @Consumes(MediaType.WILDCARD)
    public Response clientRotation(@QueryParam("client") String clientId) {
        requireCaller("operate");
        RealmModel realm = session.getContext().getRealm();
        if (!LogoutRelay.isOn(realm)) {
            throw Problem.refusal(Response.Status.CONFLICT, "listener_off",
                    "The event listener logout-relay is off in this realm, so nobody would see a rotation: switch it on, under Realm settings, Events");
        }
        ClientModel client = realm.getClientByClientId(Given.text(clientId, "client is missing; give a client's client id"));
        if (client == null) {
            throw Problem.refusal(Response.Status.NOT_FOUND, "not_found", "The client is not one of this realm, or no longer");
        }
        return ok(Rotations.report(session, client));
    }

    /** What waits for a person, by its id. */
    private interface Waiting {
        Optional<?> decide(KeycloakSession session, RealmModel realm, String id, boolean confirmed, String by);
    }

    private Response decide(Decision request, Waiting waiting, String what) {
        AuthResult caller = requireCaller("confirm");
        boolean confirmed = Given.body(request).isConfirmed();
        return ok(waiting.decide(session, session.getContext().getRealm(), request.id(), confirmed, caller.user().getId())
                .orElseThrow(() -> Problem.badRequest("id is not that of " + what + " for a decision; GET lists them")));
    }

    /** Everybody was signed out of the realm, and a person says whether that is meant for the applications too. */
    @POST
    @Path("realm-logouts")
    public Response decideRealmLogout(Decision request) {
        return decide(request, RealmLogout::decide, "a realm logout that waits");
    }

    @GET
    @Path("realm-logouts")
    @Consumes(MediaType.WILDCARD)
    public Response realmLogouts() {
        requireCaller("confirm");
        return ok(Map.of("realm_logouts", RealmLogout.list(session, session.getContext().getRealm())));
    }

    /** Very many users of a directory have changed at once, and a person says whether their sessions are to end. */
    @POST
    @Path("directories")
    public Response decideDirectory(Decision request) {
        return decide(request, Directories::decide, "a directory whose changes wait");
    }

    @GET
    @Path("directories")
    @Consumes(MediaType.WILDCARD)
    public Response directories() {
        requireCaller("confirm");
        return ok(Map.of("directories", Directories.list(session, session.getContext().getRealm())));
    }

    /**
     * What an identity provider has said of its users. Only the realm says whom that is here and what it causes, so that a
     * relay which is stolen ends no more than the policy and its limit let it.
     */
    @POST
    @Path("upstream-events")
    public Response upstream(UpstreamRequest request) {
        RealmModel realm = requireRole("upstream-events");
        List<Upstreams.Subject> subjects = Given.some("subjects", Given.body(request).subjects(), MAX_SUBJECTS, "subjects").stream()
                .map(Endpoints::subject).toList();
        if (request.atMs() != null && request.atMs() < 0) {
            throw Problem.badRequest("at_ms is negative; give milliseconds since the epoch");
        }
        return ok(Upstreams.hear(session, realm, new Upstreams.Word(word("issuer", request.issuer(), 2048), subjects,
                word("type", request.type(), 255), request.credential(), request.atMs(), word("id", request.id(), 1024),
                word("txn", request.txn(), 255)), afterCommit));
    }

    private static Upstreams.Subject subject(Named named) {
        if ((named.sub() == null) == (named.email() == null)) {
            throw Problem.badRequest("subjects must each have sub or email, and not both");
        }
        return named.sub() != null ? new Upstreams.Subject(word("sub", named.sub(), 255), null)
                : new Upstreams.Subject(null, word("email", named.email(), 255));
    }

    private static String word(String name, String text, int max) {
        if (text == null || text.isBlank() || text.length() > max || text.indexOf(0) >= 0) {
            throw Problem.badRequest(name + " must have 1 to " + max + " characters");
        }
        return text;
    }

    /** An identity provider has named very many users, and a person says whether their sessions are to end. */
    @POST
    @Path("upstreams")
    public Response decideUpstream(Decision request) {
        return decide(request, Upstreams::decide, "an identity provider whose word waits");
    }

    @GET
    @Path("upstreams")
    @Consumes(MediaType.WILDCARD)
    public Response upstreams() {
        requireCaller("confirm");
        return ok(Map.of("upstreams", Upstreams.list(session, session.getContext().getRealm())));
    }

    @GET
    @Path("relying-parties")
    @Consumes(MediaType.WILDCARD)
    public Response relyingParties(@QueryParam("first") @DefaultValue("0") int first,
            @QueryParam("max") @DefaultValue("500") int max, @QueryParam("untold") boolean untold) {
        RealmModel realm = requireRole("relying-parties");
        if (first < 0 || max < 1 || max > MAX_CLIENTS) {
            throw Problem.badRequest("first must be 0 or more, max 1 to " + MAX_CLIENTS);
        }
        List<ClientModel> page = realm.getClientsStream(first, max).toList();
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("relying_parties", page.stream().filter(RelyingParty::isOidc)
                .filter(client -> RelyingParty.logoutUriOr(session, client, null) != null).map(this::describe).toList());
        if (untold) {
            answer.put("untold", page.stream().filter(RelyingParty::isOidc)
                    .filter(client -> RelyingParty.logoutUriOr(session, client, null) == null).map(RelyingParty::represent).toList());
        }
        if (page.size() == max) {
            answer.put("next", first + max);
        }
        answer.put("realm", describe(realm));
        return ok(answer);
    }

    /** How the extension is switched on here, for whoever looks for what is missing. */
    private Map<String, Object> describe(RealmModel realm) {
        return Map.of("listener", LogoutRelay.isOn(realm),
                "push", afterCommit.pushes(), "audience", afterCommit.audience(),
                "keycloak", Version.VERSION, "outbox", Outbox.depth(session, realm.getId()),
                "policy", Policy.of(session, realm).inForce(), "issuer_fixed", Issuers.isFixed(realm),
                "clock_ahead_ms", DbClock.nodeAheadMs(session), "directories", Directories.list(session, realm),
                "upstreams", Upstreams.list(session, realm));
    }

    private Map<String, Object> describe(ClientModel client) {
        return Map.of("client_id", client.getClientId(),
                "backchannel_logout_uri", RelyingParty.logoutUri(session, client),
                "backchannel_logout_session_required", RelyingParty.sessionRequired(client),
                "enabled", client.isEnabled());
    }

    /** Only a service account: what the relay may ask, no person need. The relay's own client needs no entry in a list. */
    private RealmModel requireRole(String name) {
        if (requireCaller(name, CLIENT).user().getServiceAccountClientLink() == null) {
            throw new ForbiddenException();
        }
        return session.getContext().getRealm();
    }

    private AuthResult requireCaller(String role) {
        return requireCaller(role, null);
    }

    /**
     * The holder of a token that was issued to a client which may act here. Keycloak puts a person's roles into the tokens of
     * every client with full scope, which is its default: whoever ran one that an operator logs in to would else be that
     * operator.
     *
     * @param besides a client that may act without being listed; null where there is none
     */
    private AuthResult requireCaller(String role, String besides) {
        AuthResult caller = new AppAuthManager.BearerTokenAuthenticator(session).authenticate();
        if (caller == null) {
            throw new NotAuthorizedException("Bearer");
        }
        String client = caller.token().getIssuedFor();
        boolean listed = client != null && (client.equals(besides)
                || Policy.of(session, session.getContext().getRealm()).clients().contains(client));
        if (!listed) {
            throw Problem.refusal(Response.Status.FORBIDDEN, "unauthorized_client", "Tokens of the client " + client + " do not count"
                    + " here: use one that the realm attribute logout-relay.clients names, or have this one named there");
        }
        if (!has(caller, role)) {
            throw new ForbiddenException();
        }
        return caller;
    }

    /** The token says what the caller was given, the realm whether it has been taken away since. */
    private boolean has(AuthResult caller, String name) {
        AccessToken.Access inToken = caller.token().getResourceAccess(CLIENT);
        ClientModel client = session.getContext().getRealm().getClientByClientId(CLIENT);
        RoleModel role = client == null ? null : client.getRole(name);
        return inToken != null && inToken.isUserInRole(name) && role != null && caller.user().hasRole(role);
    }

    private static Response ok(Object body) {
        CacheControl noStore = new CacheControl();
        noStore.setNoStore(true);
        return Response.ok(body).cacheControl(noStore).build();
    }

    private static String cut(String text, int max) {
        return text == null || text.length() <= max ? text : text.substring(0, max);
    }
}
