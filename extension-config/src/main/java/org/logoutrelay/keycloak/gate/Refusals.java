package org.logoutrelay.keycloak.gate;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;

import org.keycloak.models.ImpersonationSessionNote;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.representations.idm.OAuth2ErrorRepresentation;
import org.keycloak.services.ErrorPageException;
import org.keycloak.services.ErrorResponseException;
import org.keycloak.services.messages.Messages;

import jakarta.ws.rs.WebApplicationException;
import jakarta.ws.rs.core.HttpHeaders;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;

/**
 * What the gate has refused since an event, by kind, client and address: somebody still holds something. Counted at this
 * node and told to the relay by the sweep, the first time at once, then more and more rarely, at most once an hour.
 */
public final class Refusals {
    static final String LOGIN = "login";

    /** Whoever can make more kinds than these is counted as one. */
    private static final int MAX_KINDS = 1000;
    private static final int MAX_TOLD = 50;
    private static final long FIRST_PAUSE_MS = 5_000;
    private static final long LONGEST_PAUSE_MS = 3_600_000;

    private record Subject(String realmId, String userId) {
    }

    private record Kind(String kind, String clientId, String address) {
    }

    private static final class Tally {
        private final Map<Kind, Integer> counts = new LinkedHashMap<>();
        private final Set<String> sids = new LinkedHashSet<>();
        private String txn;
        private long nextMs;
        private long pauseMs = FIRST_PAUSE_MS;
    }

    /** What is due to be told. */
    public record Due(String realmId, String userId, String txn, List<Map<String, Object>> counts, Set<String> sids) {
    }

    private static final Map<Subject, Tally> TALLIES = new ConcurrentHashMap<>();

    private Refusals() {
    }

    static void count(KeycloakSession session, UserSessionModel dead, WatermarkRow killer) {
        // An administrator who looks at the session by its id holds nothing of it.
        if (Requests.path(session).contains(dead.getId())) {
            return;
        }
        String impersonator = dead.getNote(ImpersonationSessionNote.IMPERSONATOR_ID.toString());
        String subject = killer.userId.equals(impersonator) ? impersonator : dead.getUser().getId();
        count(session, killer.realmId, subject, Requests.kind(session), killer, dead);
    }

    static void count(KeycloakSession session, RealmModel realm, String userId, String kind, WatermarkRow killer) {
        count(session, realm.getId(), userId, kind, killer, null);
    }

    private static void count(KeycloakSession session, String realmId, String userId, String kind, WatermarkRow killer,
            UserSessionModel dead) {
        String client = session.getContext().getClient() == null ? "" : session.getContext().getClient().getClientId();
        Kind what = new Kind(kind, client, Requests.address(session));
        TALLIES.compute(new Subject(realmId, userId), (subject, known) -> {
            Tally tally = known == null ? new Tally() : known;
            tally.txn = killer.userId.equals(Watermarks.EVERYBODY) ? null : killer.txn;
            Kind counted = tally.counts.size() < MAX_KINDS || tally.counts.containsKey(what) ? what : new Kind(kind, "", "");
            tally.counts.merge(counted, 1, Integer::sum);
            if (dead != null && !killer.sparesSomeClient() && tally.sids.size() < MAX_KINDS) {
                tally.sids.add(dead.getId());
            }
            return tally;
        });
    }

    /** Counts, and says what to answer to whoever would have got a session. */
    static WebApplicationException refuse(KeycloakSession session, RealmModel realm, UserModel user, WatermarkRow killer,
            Beginning beginning) {
        if (ClientProof.isBrought(session, user)) {
            return notYet();
        }
        String kind = Requests.kind(session);
        count(session, realm, user.getId(), kind, killer);
        if (session.getContext().getAuthenticationSession() != null && kind.equals(LOGIN)) {
            return new ErrorPageException(session, Response.Status.BAD_REQUEST, Messages.EXPIRED_ACTION);
        }
        return new ErrorResponseException("invalid_grant", beginning.ms() == 0
                ? "Nothing says how old this grant is, and its user's sessions were ended before"
                : "The grant is from before its user's sessions were ended", Response.Status.BAD_REQUEST);
    }

    /**
     * For a workload that comes with its new secret in the very second of the event: what is issued in it would be dead. And
     * for one that comes to a node which has not heard of the event.
     */
    static WebApplicationException notYet() {
        return new WebApplicationException(Response.status(Response.Status.SERVICE_UNAVAILABLE).header(HttpHeaders.RETRY_AFTER, 1)
                .type(MediaType.APPLICATION_JSON_TYPE).entity(new OAuth2ErrorRepresentation("temporarily_unavailable",
                        "This client has just been changed; ask again in a second")).build());
    }

    /** Takes out what is to be told now. */
    public static List<Due> due(long nowMs) {
        List<Due> due = new ArrayList<>();
        for (Subject subject : TALLIES.keySet()) {
            TALLIES.computeIfPresent(subject, (key, tally) -> {
                if (nowMs < tally.nextMs) {
                    return tally;
                }
                if (tally.counts.isEmpty()) {
                    // Nothing for as long as the pause was: whoever comes now is told of at once again.
                    return nowMs > tally.nextMs + tally.pauseMs ? null : tally;
                }
                due.add(new Due(key.realmId(), key.userId(), tally.txn, listed(tally.counts), Set.copyOf(tally.sids)));
                tally.counts.clear();
                tally.sids.clear();
                tally.nextMs = nowMs + tally.pauseMs;
                tally.pauseMs = Math.min(LONGEST_PAUSE_MS, tally.pauseMs * 2);
                return tally;
            });
        }
        return due;
    }

    private static List<Map<String, Object>> listed(Map<Kind, Integer> counts) {
        return counts.entrySet().stream().sorted(Map.Entry.<Kind, Integer>comparingByValue().reversed()).limit(MAX_TOLD)
                .map(entry -> Map.<String, Object>of("kind", entry.getKey().kind(), "client_id", entry.getKey().clientId(),
                        "address", entry.getKey().address(), "count", entry.getValue())).collect(Collectors.toList());
    }
}
