package org.logoutrelay.keycloak.rest;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

import org.jboss.logging.Logger;
import org.keycloak.common.Version;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.logoutrelay.keycloak.base.DbClock;
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
import org.logoutrelay.keycloak.settle.AfterCommit;
import org.logoutrelay.keycloak.trigger.Policy;
import org.logoutrelay.keycloak.upstream.Upstreams;
import org.logoutrelay.keycloak.workload.Workloads;

import com.fasterxml.jackson.annotation.JsonProperty;

import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.DefaultValue;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.QueryParam;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;

/**
 * All that the relay may ask, each endpoint behind the role of the client {@code logout-relay} that is named like it. Beside
 * it stands what people and programs ask with a token of their own: {@link ContainEndpoints}, {@link HeldEndpoints},
 * {@link RotationEndpoints}. Nothing here blocks: Keycloak's worker threads are few. The formats are in docs/protocol.md.
 */
@Produces(MediaType.APPLICATION_JSON)
@Consumes(MediaType.APPLICATION_JSON)
public final class Endpoints {
    private static final Logger LOG = Logger.getLogger(Endpoints.class);
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
    private static final Pattern WORKLOAD = Pattern.compile("[0-9a-f]{64}");
    private static final HeldEndpoints.Kind REALM_LOGOUTS = new HeldEndpoints.Kind("realm_logouts", "a realm logout that waits",
            RealmLogout::list, RealmLogout::decide);
    private static final HeldEndpoints.Kind DIRECTORIES = new HeldEndpoints.Kind("directories", "a directory whose changes wait",
            Directories::list, Directories::decide);
    private static final HeldEndpoints.Kind UPSTREAMS = new HeldEndpoints.Kind("upstreams", "an identity provider whose word waits",
            Upstreams::list, Upstreams::decide);

    private final KeycloakSession session;
    private final AfterCommit afterCommit;
    private final Callers callers;

    public Endpoints(KeycloakSession session, AfterCommit afterCommit) {
        this.session = session;
        this.callers = new Callers(session);
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

    /** @param audience of requests to an identity provider that is told; else null */
    public record MintRequest(List<String> ids, String audience) {
    }

    public record ProbeRequest(@JsonProperty("client_id") String clientId) {
    }

    /** One of {@code sub} and {@code email}. */
    public record Named(String sub, String email) {
    }

    /** What an identity provider or a realm behind this one has said, as the relay has verified it; as {@link Upstreams.Word} has it. */
    public record UpstreamRequest(String issuer, @JsonProperty("client_id") String client, List<Named> subjects, String type, @JsonProperty("credential_type") String credential,
            @JsonProperty("change_direction") String direction, @JsonProperty("current_status") String status,
            @JsonProperty("at_ms") Long atMs, String id, String txn) {
    }

    public record AnswersRequest(List<Answers.Answer> answers) {
    }

    @POST
    @Path("outbox")
    public Response poll(PollRequest request) {
        RealmModel realm = callers.requireRelay("outbox");
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
        return Answer.ok(Map.of("sets", sets, "moreAvailable", more));
    }

    /** For a relay that lost its store: what the outbox holds, by page. */
    @POST
    @Path("outbox/rows")
    public Response rows(RowsRequest request) {
        RealmModel realm = callers.requireRelay("outbox");
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
        return Answer.ok(answer);
    }

    /** The same SETs again, with the same {@code jti}s, acknowledged or not, and which of their sessions have an end. */
    @POST
    @Path("outbox/sets")
    public Response sets(SetsRequest request) {
        RealmModel realm = callers.requireRelay("outbox");
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
        return Answer.ok(Map.of("sets", sets, "ended", ended));
    }

    @POST
    @Path("logout-tokens")
    public Response mint(MintRequest request) {
        RealmModel realm = callers.requireRelay("logout-tokens");
        List<String> ids = Given.some("ids", Given.body(request).ids(), MAX_IDS, "session ids");
        return Answer.ok(new LogoutTokens(session, realm).mint(ids, audience(request.audience())));
    }

    /** For the check of a relying party: tokens that are genuine and end nothing. */
    @POST
    @Path("logout-tokens/probe")
    public Response probe(ProbeRequest request) {
        RealmModel realm = callers.requireRelay("logout-tokens");
        ClientModel client = realm.getClientByClientId(Given.text(Given.body(request).clientId(),
                "client_id is missing; give the client whose tokens are wanted"));
        if (client == null || !RelyingParty.isOidc(client)) {
            throw Problem.refusal(Response.Status.NOT_FOUND, "not_found", "client_id names no OpenID Connect client of this realm");
        }
        return Answer.ok(new LogoutTokens(session, realm).probe(client));
    }

    @POST
    @Path("answers")
    public Response answers(AnswersRequest request) {
        RealmModel realm = callers.requireRelay("answers");
        List<Answers.Answer> answers = Given.some("answers", Given.body(request).answers(), MAX_ANSWERS, "answers");
        return Answer.ok(Answers.record(session, realm, answers));
    }

    @Path("containments")
    public ContainEndpoints containments() {
        return new ContainEndpoints(session, afterCommit);
    }

    @Path("client-rotations")
    public RotationEndpoints clientRotations() {
        return new RotationEndpoints(session);
    }

    /** What clients were given, from where and by which key, for whoever may read clients. */
    @GET
    @Path("workloads")
    @Consumes(MediaType.WILDCARD)
    public Response workloads(@QueryParam("client") String clientId, @QueryParam("after") String after) {
        RealmModel realm = callers.requireViewOfClients();
        if (after != null && !WORKLOAD.matcher(after).matches()) {
            throw Problem.badRequest("after is not one that this endpoint gave as next");
        }
        ClientModel client = clientId == null ? null : realm.getClientByClientId(clientId);
        if (client == null && clientId != null) {
            throw Problem.refusal(Response.Status.NOT_FOUND, "not_found", "The client is not one of this realm, or no longer");
        }
        return Answer.ok(Workloads.list(session, realm, client, after));
    }

    /** Everybody was signed out of the realm, and a person says whether that is meant for the applications too. */
    @Path("realm-logouts")
    public HeldEndpoints realmLogouts() {
        return new HeldEndpoints(session, REALM_LOGOUTS);
    }

    /** Very many users of a directory have changed at once, and a person says whether their sessions are to end. */
    @Path("directories")
    public HeldEndpoints directories() {
        return new HeldEndpoints(session, DIRECTORIES);
    }

    /** An identity provider has named very many users, and a person says whether their sessions are to end. */
    @Path("upstreams")
    public HeldEndpoints upstreams() {
        return new HeldEndpoints(session, UPSTREAMS);
    }

    /**
     * What an identity provider has said of its users. Only the realm says whom that is here and what it causes, so that a
     * relay which is stolen ends no more than the policy and its limit let it.
     */
    @POST
    @Path("upstream-events")
    public Response upstream(UpstreamRequest request) {
        RealmModel realm = callers.requireRelay("upstream-events");
        List<Upstreams.Subject> subjects = Given.some("subjects", Given.body(request).subjects(), MAX_SUBJECTS, "subjects").stream()
                .map(Endpoints::subject).toList();
        if (request.atMs() != null && request.atMs() < 0) {
            throw Problem.badRequest("at_ms is negative; give milliseconds since the epoch");
        }
        Upstreams.Event event = new Upstreams.Event(word("type", request.type(), 255), request.credential(), request.direction(),
                request.status());
        return Answer.ok(Upstreams.hear(session, realm, new Upstreams.Word(word("issuer", request.issuer(), 2048),
                request.client() == null ? null : word("client_id", request.client(), 255), subjects, event, request.atMs(), word("id", request.id(), 1024), word("txn", request.txn(), 255)), afterCommit));
    }

    private static Upstreams.Subject subject(Named named) {
        if ((named.sub() == null) == (named.email() == null)) {
            throw Problem.badRequest("subjects must each have sub or email, and not both");
        }
        return named.sub() != null ? new Upstreams.Subject(word("sub", named.sub(), 255), null)
                : new Upstreams.Subject(null, word("email", named.email(), 255));
    }

    /** Only a place. One that is a client's id as well is refused with each token. */
    private static String audience(String text) {
        if (text != null && !text.matches("https?://\\S{1,2000}")) {
            throw Problem.badRequest("audience must be an http(s) URL of at most 2000 characters");
        }
        return text;
    }

    private static String word(String name, String text, int max) {
        if (text == null || text.isBlank() || text.length() > max || text.indexOf(0) >= 0) {
            throw Problem.badRequest(name + " must have 1 to " + max + " characters");
        }
        return text;
    }

    @GET
    @Path("relying-parties")
    @Consumes(MediaType.WILDCARD)
    public Response relyingParties(@QueryParam("first") @DefaultValue("0") int first,
            @QueryParam("max") @DefaultValue("500") int max, @QueryParam("untold") boolean untold) {
        RealmModel realm = callers.requireRelay("relying-parties");
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
        return Answer.ok(answer);
    }

    /** How the extension is switched on here, for whoever looks for what is missing. */
    private Map<String, Object> describe(RealmModel realm) {
        Policy policy = Policy.of(session, realm);
        return Map.ofEntries(Map.entry("listener", LogoutRelay.isOn(realm)),
                Map.entry("push", afterCommit.pushes()), Map.entry("audience", afterCommit.audience()),
                Map.entry("keycloak", Version.VERSION), Map.entry("outbox", Outbox.depth(session, realm.getId())),
                Map.entry("policy", policy.inForce()),
                Map.entry("policy_of_nobody", policy.ofNobody(alias -> session.identityProviders().getByAlias(alias) != null)),
                Map.entry("issuer_fixed", Issuers.isFixed(realm)), Map.entry("clock_ahead_ms", DbClock.nodeAheadMs(session)),
                Map.entry("directories", Directories.list(session, realm)), Map.entry("upstreams", Upstreams.list(session, realm)),
                Map.entry("realm_logouts", RealmLogout.decisions(session, realm)));
    }

    private Map<String, Object> describe(ClientModel client) {
        return Map.of("client_id", client.getClientId(),
                "backchannel_logout_uri", RelyingParty.logoutUri(session, client),
                "backchannel_logout_session_required", RelyingParty.sessionRequired(client),
                "enabled", client.isEnabled());
    }

    private static String cut(String text, int max) {
        return text == null || text.length() <= max ? text : text.substring(0, max);
    }
}
