package org.logoutrelay.keycloak.workload;

import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import org.jboss.logging.Logger;
import org.keycloak.OAuth2Constants;
import org.keycloak.events.Details;
import org.keycloak.events.Event;
import org.keycloak.events.EventType;
import org.keycloak.events.admin.AdminEvent;
import org.keycloak.events.admin.OperationType;
import org.keycloak.events.admin.ResourceType;
import org.keycloak.models.AbstractKeycloakTransaction;
import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.keycloak.representations.idm.ClientInitialAccessCreatePresentation;
import org.keycloak.util.TokenUtil;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.base.Json;
import org.logoutrelay.keycloak.base.RequestPath;
import org.logoutrelay.keycloak.base.Tallies;
import org.logoutrelay.keycloak.client.AccessTokens;
import org.logoutrelay.keycloak.gate.Requests;

import jakarta.persistence.EntityManager;
import jakarta.persistence.LockModeType;
import jakarta.persistence.TypedQuery;

/**
 * What clients were given without a login of a person, and people by direct grant or for an offline token, which is how a
 * job looks that has a person's account. A workload asks each minute, so there is no row for each token: it is counted in
 * memory once the request has committed, and written every few seconds.
 */
public final class Workloads {
    public static final int PRUNE_BATCH = 1000;
    static final String JWT_BEARER = "jwt-bearer";

    private static final Logger LOG = Logger.getLogger(Workloads.class);
    private static final String CLIENT_CREDENTIALS = "client_credentials";
    private static final String REFRESH = "refresh_token";
    private static final String REGISTRATION_TOKEN = "registration-access-token";
    private static final String INITIAL_TOKEN = "initial-access-token";
    private static final Pattern REGISTRATION_PATH = Pattern.compile("clients/([^/]+)/registration-access-token");
    private static final long KEPT_MS = TimeUnit.DAYS.toMillis(90);
    private static final int MAX_SHOWN = 500;
    private static final int MAX_ADDRESSES = 20;

    private static final Tallies<Workload.Room, Workload, Given> COUNTED = new Tallies<>(Given::and, Workload.OTHERS);

    private Workloads() {
    }

    /** For each event of a realm with the listener. Never throws: whoever is not counted is served all the same. */
    public static void see(KeycloakSession session, Event event) {
        String kind = event.getError() == null && event.getClientId() != null ? kind(session, event.getType()) : null;
        if (kind != null) {
            counting(() -> see(session, event, kind));
        }
    }

    /** The same of an administrator who makes a token to register clients with. */
    public static void see(KeycloakSession session, AdminEvent event) {
        boolean initial = event.getResourceType() == ResourceType.CLIENT_INITIAL_ACCESS_MODEL
                && event.getOperationType() == OperationType.CREATE;
        Matcher path = REGISTRATION_PATH.matcher(String.valueOf(RequestPath.of(event.getResourcePath())));
        if (initial || event.getOperationType() == OperationType.ACTION && path.matches()) {
            counting(() -> {
                RealmModel realm = session.getContext().getRealm();
                ClientModel client = realm.getClientById(initial ? event.getAuthDetails().getClientId() : path.group(1));
                Workload.Room room = new Workload.Room(realm.getId(), client == null ? "" : client.getId(),
                        initial ? INITIAL_TOKEN : REGISTRATION_TOKEN);
                countAtCommit(session, new Workload(room, Tallies.text(event.getAuthDetails().getUserId()), false,
                        Tallies.text(event.getAuthDetails().getIpAddress()), "admin", ""),
                        initial ? endOfInitial(session, event) : Given.NO_END, null);
            });
        }
    }

    private static void counting(Runnable count) {
        try {
            count.run();
        } catch (RuntimeException e) {
            // Without the cause's words, which may be those of a request.
            LOG.warnf("What a client was given could not be counted (%s)", e.getClass().getName());
        }
    }

    /** Null for what is not counted. */
    private static String kind(KeycloakSession session, EventType type) {
        return switch (type) {
            case CLIENT_LOGIN -> CLIENT_CREDENTIALS;
            case TOKEN_EXCHANGE -> "token-exchange";
            case PERMISSION_TOKEN -> "uma-ticket";
            case REFRESH_TOKEN -> REFRESH;
            case LOGIN -> {
                String grant = Requests.grantType(session);
                yield OAuth2Constants.PASSWORD.equals(grant) ? OAuth2Constants.PASSWORD
                        : grant != null && grant.endsWith(":" + JWT_BEARER) ? JWT_BEARER : null;
            }
            case CLIENT_REGISTER, CLIENT_INFO, CLIENT_UPDATE -> REGISTRATION_TOKEN;
            default -> null;
        };
    }

    private static void see(KeycloakSession session, Event event, String kind) {
        RealmModel realm = session.realms().getRealm(event.getRealmId());
        ClientModel client = realm.getClientByClientId(event.getClientId());
        if (client == null) {
            return;
        }
        Workload.Room room = new Workload.Room(realm.getId(), client.getId(), kind);
        String address = Tallies.text(Requests.address(session));
        if (kind.equals(REGISTRATION_TOKEN)) {
            Proof.Brought brought = Proof.Brought.of(session);
            // Whoever comes with something else to read or change a client is given none.
            if (event.getType() == EventType.CLIENT_REGISTER || Proof.Brought.REGISTRATION.equals(brought.method())) {
                countAtCommit(session, new Workload(room, brought.sub(), false, address, brought.method(), ""), Given.NO_END, null);
            }
            return;
        }
        String refresh = detail(event, Details.REFRESH_TOKEN_TYPE);
        boolean service = isOfService(session, realm, event, kind);
        if (isCounted(kind, service, refresh)) {
            long now = DbClock.now(session);
            String method = client.isPublicClient() ? "none" : Tallies.text(detail(event, Details.CLIENT_AUTH_METHOD));
            countAtCommit(session, new Workload(room, Tallies.text(event.getUserId()), service, address, method,
                    Proof.key(session, kind, method)), now / 1000 + AccessTokens.lifespan(client, now), refresh);
        }
    }

    /** Of people only what a job would do, whose account is a person's. */
    static boolean isCounted(String kind, boolean service, String refreshType) {
        return switch (kind) {
            case CLIENT_CREDENTIALS, JWT_BEARER, OAuth2Constants.PASSWORD -> true;
            case REFRESH -> service || TokenUtil.TOKEN_TYPE_OFFLINE.equals(refreshType);
            default -> service;
        };
    }

    /** At a refresh, which people's applications do all the time, Keycloak has the user at hand: nobody is looked up. */
    static boolean isOfService(KeycloakSession session, RealmModel realm, Event event, String kind) {
        if (kind.equals(CLIENT_CREDENTIALS) || event.getUserId() == null) {
            return kind.equals(CLIENT_CREDENTIALS);
        }
        UserSessionModel of = session.getContext().getUserSession();
        UserModel user = of == null ? null : of.getUser();
        if (user == null || !event.getUserId().equals(user.getId())) {
            user = session.users().getUserById(realm, event.getUserId());
        }
        return user != null && user.getServiceAccountClientLink() != null;
    }

    private static String detail(Event event, String name) {
        return event.getDetails() == null ? null : event.getDetails().get(name);
    }

    private static long endOfInitial(KeycloakSession session, AdminEvent event) {
        Integer seconds = event.getRepresentation() == null ? null
                : Json.read(event.getRepresentation(), ClientInitialAccessCreatePresentation.class).getExpiration();
        return seconds == null || seconds <= 0 ? Given.NO_END : DbClock.now(session) / 1000 + seconds;
    }

    /** What is refused at the commit was not given. */
    private static void countAtCommit(KeycloakSession session, Workload workload, long endS, String refreshType) {
        Given given = Given.one(DbClock.now(session), endS, TokenUtil.TOKEN_TYPE_REFRESH.equals(refreshType),
                TokenUtil.TOKEN_TYPE_OFFLINE.equals(refreshType));
        session.getTransactionManager().enlistAfterCompletion(new AbstractKeycloakTransaction() {
            @Override
            protected void commitImpl() {
                COUNTED.count(workload.room(), workload, given);
            }

            @Override
            protected void rollbackImpl() {
                // nothing was given
            }
        });
    }

    /** What this node has counted. Never throws: it runs again in a few seconds. */
    public static void write(KeycloakSessionFactory factory) {
        try {
            COUNTED.write((room, some) -> KeycloakModelUtils.runJobInTransaction(factory,
                    session -> store(session, room, some)));
        } catch (Throwable t) {
            LOG.warnf("What clients were given could not be written (%s); it is written with the next", t.getClass().getName());
        }
    }

    static void store(KeycloakSession session, Workload.Room room, Map<Workload, Given> some) {
        COUNTED.store(some, new Rows(Jpa.em(session), room));
    }

    /** One node at a time adds to a row. Two that make the same one meet at its id, and the second comes again. */
    private static final class Rows implements Tallies.Rows<Workload, Given> {
        private final EntityManager em;
        private final Map<String, WorkloadRow> rows = new LinkedHashMap<>();

        Rows(EntityManager em, Workload.Room room) {
            this.em = em;
            em.createQuery("select w from WorkloadRow w where w.realmId = :realm and w.clientUuid = :client and w.kind = :kind order by w.id",
                    WorkloadRow.class).setParameter("realm", room.realmId()).setParameter("client", room.clientUuid())
                    .setParameter("kind", room.kind()).setLockMode(LockModeType.PESSIMISTIC_WRITE).getResultList()
                    .forEach(row -> rows.put(row.id, row));
        }

        @Override
        public int size() {
            return rows.size();
        }

        @Override
        public boolean add(Workload workload, Given given) {
            WorkloadRow row = rows.get(workload.id());
            if (row != null) {
                given.addTo(row);
            }
            return row != null;
        }

        @Override
        public void make(Workload workload, Given given) {
            WorkloadRow row = workload.row();
            given.addTo(row);
            em.persist(row);
            rows.put(row.id, row);
        }

        @Override
        public boolean giveUpOldest(Workload others) {
            WorkloadRow oldest = rows.values().stream().filter(row -> !row.id.equals(others.id()))
                    .min(Comparator.comparingLong(row -> row.lastMs)).orElseThrow();
            if (!add(others, Given.of(oldest))) {
                make(others, Given.of(oldest));
            }
            // On how many days it was in all nobody knows any more.
            WorkloadRow joined = rows.get(others.id());
            joined.days = Math.max(joined.days, oldest.days);
            rows.remove(oldest.id);
            em.remove(oldest);
            return true;
        }
    }

    /**
     * A page of what was given in the realm, in the order of its ids.
     *
     * @param client to whom, or null for all
     * @param after the {@code next} of the page before, or null
     */
    public static Map<String, Object> list(KeycloakSession session, RealmModel realm, ClientModel client, String after) {
        TypedQuery<WorkloadRow> query = Jpa.em(session).createQuery("select w from WorkloadRow w where w.realmId = :realm and w.id > :after"
                + (client == null ? "" : " and w.clientUuid = :client") + " order by w.id", WorkloadRow.class)
                .setParameter("realm", realm.getId()).setParameter("after", after == null ? "" : after).setMaxResults(MAX_SHOWN);
        if (client != null) {
            query.setParameter("client", client.getId());
        }
        List<WorkloadRow> rows = query.getResultList();
        Map<String, Object> answer = new LinkedHashMap<>(Map.of("now_ms", DbClock.now(session), "workloads",
                rows.stream().map(row -> represent(realm, row)).toList()));
        Long since = Jpa.em(session).createQuery("select min(w.firstMs) from WorkloadRow w where w.realmId = :realm", Long.class)
                .setParameter("realm", realm.getId()).getSingleResult();
        if (since != null) {
            answer.put("since_ms", since);
        }
        if (rows.size() == MAX_SHOWN) {
            answer.put("next", rows.get(MAX_SHOWN - 1).id);
        }
        return answer;
    }

    private static Map<String, Object> represent(RealmModel realm, WorkloadRow row) {
        ClientModel client = realm.getClientById(row.clientUuid);
        Map<String, Object> shown = new LinkedHashMap<>(Map.of("client", row.clientUuid));
        // Of one that is gone its id is known alone.
        if (client != null) {
            shown.put("client_id", client.getClientId());
        }
        shown.putAll(Map.of("kind", row.kind, "account", row.accountId, "service_account", row.service, "address", row.address,
                "auth_method", row.method, "key", row.key));
        shown.putAll(Map.of("uses", row.uses, "first_ms", row.firstMs, "last_ms", row.lastMs, "hours", row.hours, "days", row.days));
        // What has no end has none of these.
        shown.putAll(row.latestEnd == Given.NO_END ? Map.of() : Map.of("longest_s", row.longestS, "latest_end", row.latestEnd));
        shown.putAll(row.refreshMs == 0 ? Map.of() : Map.of("refresh_token_ms", row.refreshMs));
        shown.putAll(row.offlineMs == 0 ? Map.of() : Map.of("offline_token_ms", row.offlineMs));
        return shown;
    }

    /** For the evidence: by which grants an account has got tokens, from which addresses, the newest first, and when last. */
    public static Map<String, Object> ofAccount(KeycloakSession session, RealmModel realm, String accountId) {
        List<WorkloadRow> rows = Jpa.em(session).createQuery("select w from WorkloadRow w where w.accountId = :account and w.realmId = :realm"
                + " order by w.lastMs desc", WorkloadRow.class).setParameter("account", accountId).setParameter("realm", realm.getId())
                .setMaxResults(MAX_SHOWN).getResultList();
        return rows.isEmpty() ? Map.of() : Map.of("kinds", rows.stream().map(row -> row.kind).distinct().toList(), "addresses",
                rows.stream().map(row -> row.address).filter(address -> !address.isEmpty()).distinct().limit(MAX_ADDRESSES).toList(), "last_ms", rows.get(0).lastMs);
    }

    /** What nobody has used for so long, {@link #PRUNE_BATCH} at most; the number of what is gone. */
    public static int prune(KeycloakSession session) {
        return prune(session, DbClock.now(session));
    }

    static int prune(KeycloakSession session, long nowMs) {
        List<String> gone = Jpa.em(session).createQuery("select w.id from WorkloadRow w where w.lastMs < :old", String.class)
                .setParameter("old", nowMs - KEPT_MS).setMaxResults(PRUNE_BATCH).getResultList();
        return gone.isEmpty() ? 0 : Jpa.em(session).createQuery("delete from WorkloadRow w where w.id in :gone and w.lastMs < :old")
                .setParameter("gone", gone).setParameter("old", nowMs - KEPT_MS).executeUpdate();
    }
}
