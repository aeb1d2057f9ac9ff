package org.logoutrelay.keycloak;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

import org.jboss.logging.Logger;
import org.keycloak.common.util.Time;
import org.keycloak.models.AuthenticatedClientSessionModel;
import org.keycloak.models.ClientModel;
import org.keycloak.models.FederatedIdentityModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.models.UserSessionProvider;
import org.keycloak.representations.LogoutToken;

import jakarta.persistence.EntityManager;
import jakarta.persistence.LockModeType;

/**
 * What a security event does to its subject at Keycloak. {@link #begin} runs inside the transaction of the change: from its
 * commit on the {@link Gate} refuses what is from before. {@link #list} follows, and {@link #remove} cleans up.
 */
final class Containment {
    /** Sessions in one SET; more become several with the same {@code txn}. */
    static final int PART_SIZE = 500;

    /** Aliases in one SET; the relay takes no more. */
    private static final int MAX_LINKS = 100;

    private static final Logger LOG = Logger.getLogger(Containment.class);

    private Containment() {
    }

    /** The event to be answered, as it was seen. */
    private record Act(KeycloakSession session, RealmModel realm, UserModel user, Trigger.Match match, String issuer, String txn,
            long watermarkMs, Policy policy, boolean shadow) {
    }

    /**
     * Writes, with the change, that all of the subject's logins are dead from now on: the watermark, the user's not-before,
     * and the outbox row that says so. That is all: listing who has to be told, and cleaning up, come after the commit, so
     * that nobody can make a reset slow by logging in often. Throws where it cannot; the change must then fail.
     *
     * @param flow the login in which the person made the change, or null; it goes on
     * @return null where the realm's policy has nothing done
     */
    static AllOrNothing.Recording begin(KeycloakSession session, RealmModel realm, UserModel user, Trigger.Match match,
            String issuer, Flow flow, boolean userGoes) {
        Policy policy = Policy.of(session, realm);
        Optional<Set<Policy.Step>> steps = policy.steps(match.trigger());
        if (steps.isEmpty()) {
            return null;
        }
        Act act = new Act(session, realm, user, match, issuer,
                match.asked() == null ? Ids.next() : match.asked().txn(), watermarkMs(session, realm, user, match), policy,
                policy.isShadow());
        if (match.sid() != null) {
            return endOne(act);
        }
        Set<String> sparedClients = userGoes ? Set.of() : policy.sparedClients(steps.get());
        WatermarkRow watermark = Watermarks.row(realm.getId(), user.getId(), null, act.watermarkMs, act.txn);
        watermark.sparedClients = sparedClients.isEmpty() ? null : ListedSession.json(new TreeSet<>(sparedClients));
        boolean privileged = policy.isPrivileged(realm, user);
        // Keycloak removes the sessions of a user who goes, and cannot be asked about the user afterwards.
        Collection<ListedSession> all = userGoes ? preview(session, realm, user, act.watermarkMs, issuer, Set.of()) : null;
        String goesOn = null;
        if (!act.shadow) {
            goesOn = flow == null ? null : ListedSession.key(flow.clientUuid(), Tabs.spare(flow.login(), act.txn));
            Gate.of(session).close(watermark);
        }
        String spared = goesOn;
        Steps.makeReady(session, steps.get());
        return () -> {
            EntityManager em = Jpa.em(session);
            // Before anything of this user is read or written: whoever writes by an old login is seen, or sees the watermark.
            AtCommit.lock(session, user.getId(), LockModeType.PESSIMISTIC_WRITE);
            Map<String, Integer> done = Map.of();
            if (!act.shadow) {
                em.persist(watermark);
                if (!userGoes) {
                    setNotBefore(act, flow != null, sparedClients);
                    // Else the next login, by the person themselves, is shown the address that an old one asked for.
                    user.removeAttribute(UserModel.EMAIL_PENDING);
                    done = new Steps(session, realm, user, policy).run(steps.get(), act.watermarkMs);
                }
            }
            OutboxRow row = row(act, privileged, done);
            row.spared = spared;
            row.identityProviders = userGoes ? null : linked(session, realm, user);
            row.sparedOffline = watermark.sparedClients;
            if (userGoes) {
                row.listedMs = Time.currentTimeMillis();
                writeRows(em, row, List.copyOf(all));
            } else {
                writeRows(em, row, List.of());
            }
            if (privileged && !act.shadow && !userGoes) {
                Watch.begin(em, row);
            }
            return act.txn;
        };
    }

    /**
     * The last millisecond of the event's second: Keycloak's own times, and those of mailed links, are whole seconds. What is
     * recorded already is old by definition, whatever a clock says.
     */
    private static long watermarkMs(KeycloakSession session, RealmModel realm, UserModel user, Trigger.Match match) {
        return match.atMs() != null ? match.atMs()
                : Math.max(DbClock.endOfSecond(DbClock.measure(session.getKeycloakSessionFactory())),
                        Ledger.newestLogin(session, realm.getId(), user.getId()));
    }

    /**
     * Of tokens that have no session nothing else tells how old they are. Keycloak takes one of the second that it is set to,
     * so it is set to the next; but for the person who goes on and gets tokens in this very second.
     */
    private static void setNotBefore(Act act, boolean goesOn, Set<String> sparedClients) {
        if (!sparedClients.isEmpty() && liveOldSessions(act.session, act.realm, act.user, act.watermarkMs).stream()
                .anyMatch(new Spared(sparedClients)::isSpared)) {
            // It would end what is spared.
            return;
        }
        // In the time of the slowest node: what that issues after the event must count.
        int seconds = (int) Math.floorDiv(act.watermarkMs + Nodes.slowestMs(act.session), 1000L) + (goesOn ? 0 : 1);
        if (act.session.users().getNotBeforeOfUser(act.realm, act.user) < seconds) {
            act.session.users().setNotBeforeForUser(act.realm, act.user, seconds);
        }
    }

    /** What an outbox row keeps of the links that the user still has: whoever added one logs in with it. */
    private static String linked(KeycloakSession session, RealmModel realm, UserModel user) {
        List<String> aliases = session.users().getFederatedIdentitiesStream(realm, user)
                .map(FederatedIdentityModel::getIdentityProvider).sorted().limit(MAX_LINKS).toList();
        return aliases.isEmpty() ? null : ListedSession.json(aliases);
    }

    /** Every session that a containment now would end or tell of; offline ones of these clients, by client id, live on. */
    static Collection<ListedSession> preview(KeycloakSession session, RealmModel realm, UserModel user, long nowMs,
            String issuer, Set<String> sparedClients) {
        List<UserSessionModel> old = liveOldSessions(session, realm, user, nowMs);
        Map<String, ListedSession> sessions = Ledger.before(session, realm, user.getId(), nowMs);
        listed(session, realm, user, old, issuer, sessions.keySet()).forEach(listed -> sessions.putIfAbsent(listed.key(), listed));
        sessions.keySet().removeAll(new Spared(sparedClients).keys(old));
        return sessions.values();
    }

    /** One session only: nothing of the user's others is touched. */
    private static AllOrNothing.Recording endOne(Act act) {
        List<UserSessionModel> live = withId(act.session, act.realm, act.match.sid()).toList();
        List<ListedSession> listed = listed(act.session, act.realm, act.user, live, act.issuer, Set.of());
        WatermarkRow watermark = Watermarks.row(act.realm.getId(), act.user.getId(), act.match.sid(), act.watermarkMs, act.txn);
        if (!act.shadow) {
            Gate.of(act.session).close(watermark);
        }
        return () -> {
            if (!act.shadow) {
                Jpa.em(act.session).persist(watermark);
            }
            Map<String, ListedSession> sessions = Ledger.ofSession(act.session, act.realm, act.user.getId(), act.match.sid());
            listed.forEach(session -> sessions.putIfAbsent(session.key(), session));
            if (sessions.isEmpty()) {
                return null;
            }
            OutboxRow row = row(act, false, Map.of());
            row.listedMs = Time.currentTimeMillis();
            writeRows(Jpa.em(act.session), row, List.copyOf(sessions.values()));
            return act.txn;
        };
    }

    private static OutboxRow row(Act act, boolean privileged, Map<String, Integer> steps) {
        OutboxRow row = new OutboxRow();
        row.txn = act.txn;
        row.realmId = act.realm.getId();
        row.userId = act.user.getId();
        row.iss = act.issuer;
        row.triggerId = act.match.trigger().id();
        row.detail = act.match.detail();
        row.asked(act.match.asked());
        row.sid = act.match.sid();
        row.watermarkMs = act.watermarkMs;
        row.privileged = privileged;
        row.shadow = act.shadow;
        row.steps = steps.isEmpty() ? null : ListedSession.json(steps);
        row.node = Nodes.ID;
        row.looksFromMs = act.match.atMs() == null ? null : Time.currentTimeMillis();
        row.nextLookMs = act.shadow || act.match.sid() != null ? null : row.looksFromMs() + Outbox.LOOKS_MS[0];
        return row;
    }

    /**
     * Lists whom the event has to be told to: the sessions that the ledger knows, live ones that it does not, and those that
     * the user has opened as others. Writes them into the event's rows, which may be handed out from then on.
     */
    static void list(KeycloakSession session, RealmModel realm, OutboxRow event) {
        EntityManager em = Jpa.em(session);
        UserModel user = session.users().getUserById(realm, event.userId);
        List<UserSessionModel> old = user == null ? List.of() : liveOldSessions(session, realm, user, event.watermarkMs);
        old = old.stream().filter(found -> !Logins.spared(found).contains(event.txn)).toList();
        Spared left = Spared.of(event);
        Map<String, ListedSession> sessions = withLedger(session, realm, user, event, old);
        Ledger.openedAsOthers(session, realm, event.userId, event.watermarkMs).forEach(sessions::putIfAbsent);
        sessions.keySet().removeAll(left.keys(old));
        sessions.remove(event.spared);
        event.sparedOffline = left.kept(old);
        event.listedMs = Time.currentTimeMillis();
        List<List<ListedSession>> parts = parts(List.copyOf(sessions.values()));
        fill(event, parts.get(0));
        event.parts = parts.size();
        for (int part = 1; part < parts.size(); part++) {
            OutboxRow row = event.copy();
            row.jti = Ids.next();
            row.part = part + 1;
            row.parts = parts.size();
            fill(row, parts.get(part));
            em.persist(row);
        }
    }

    /**
     * Sessions that the txn's rows do not list yet, as a supplementary row. A token issued in the same instant as the
     * reset commits its ledger row after the reset has read the ledger.
     *
     * @param ended how many sessions from before the watermark were still stored at this look
     */
    static void listWhatWasMissed(KeycloakSession session, RealmModel realm, OutboxRow first, int ended) {
        if (first.sid != null) {
            return;
        }
        EntityManager em = Jpa.em(session);
        Set<String> listed = new HashSet<>();
        if (first.spared != null) {
            listed.add(first.spared);
        }
        em.createQuery("select o.sessions from OutboxRow o where o.txn = :txn", String.class)
                .setParameter("txn", first.txn).getResultStream()
                .flatMap(json -> ListedSession.read(json).stream()).forEach(s -> listed.add(s.key()));
        UserModel user = session.users().getUserById(realm, first.userId);
        List<UserSessionModel> old = user == null ? List.of() : liveOldSessions(session, realm, user, first.watermarkMs).stream()
                .filter(found -> !Logins.spared(found).contains(first.txn)).toList();
        listed.addAll(Spared.of(first).keys(old));
        List<ListedSession> missed = withLedger(session, realm, user, first, old).values().stream().filter(s -> !listed.contains(s.key())).toList();
        if (!missed.isEmpty() || ended > 0) {
            OutboxRow row = first.supplement();
            row.survivors = ended;
            row.listedMs = Time.currentTimeMillis();
            writeRows(em, row, missed);
        }
    }

    /** A session in Keycloak's store that is dead and may go. */
    record Stored(String realmId, String sid) {
    }

    /** What is left to clean up after this event: the user's sessions, those opened as others, or the one that it is about. */
    static List<Stored> stored(KeycloakSession session, RealmModel realm, OutboxRow event) {
        if (event.shadow) {
            return List.of();
        }
        if (event.sid != null) {
            return withId(session, realm, event.sid).map(found -> new Stored(realm.getId(), event.sid)).limit(1).toList();
        }
        UserModel user = session.users().getUserById(realm, event.userId);
        Spared left = Spared.of(event);
        Stream<Stored> own = user == null ? Stream.empty() : liveOldSessions(session, realm, user, event.watermarkMs).stream()
                .filter(found -> !Logins.spared(found).contains(event.txn) && !left.isSpared(found))
                .map(found -> new Stored(realm.getId(), found.getId()));
        Stream<Stored> asOthers = Ledger.openedAsOthersAnywhere(session, event.userId, event.watermarkMs).stream()
                .filter(opened -> {
                    RealmModel there = session.realms().getRealm(opened.realmId());
                    return there != null && withId(session, there, opened.sid())
                            .anyMatch(found -> Logins.began(found) <= event.watermarkMs);
                }).map(opened -> new Stored(opened.realmId(), opened.sid()));
        return Stream.concat(own, asOthers).distinct().toList();
    }

    /** Of offline sessions that are spared for one client, ends what other clients have in them. */
    static void endOthersInSpared(KeycloakSession session, RealmModel realm, OutboxRow event) {
        UserModel user = event.sparedOffline == null ? null : session.users().getUserById(realm, event.userId);
        Spared left = Spared.of(event);
        if (user != null) {
            liveOldSessions(session, realm, user, event.watermarkMs).stream().filter(left::isSpared).forEach(left::endOthers);
        }
    }

    /** Cleans up: asks Keycloak to remove this session, the online and the offline one of that id. */
    static void remove(KeycloakSession session, Stored dead, long watermarkMs, Spared left) {
        RealmModel realm = session.realms().getRealm(dead.realmId());
        if (realm == null) {
            return;
        }
        session.getContext().setRealm(realm);
        UserSessionProvider store = SessionGate.store(session);
        withId(session, realm, dead.sid()).filter(found -> Logins.began(found) <= watermarkMs && !left.isSpared(found))
                .toList().forEach(found -> {
                    if (found.isOffline()) {
                        store.removeOfflineUserSession(realm, found);
                    } else {
                        store.removeUserSession(realm, found);
                    }
                });
    }

    /** The online and the offline session of that id. */
    private static Stream<UserSessionModel> withId(KeycloakSession session, RealmModel realm, String sid) {
        UserSessionProvider store = SessionGate.store(session);
        return Stream.of(Optional.ofNullable(store.getUserSession(realm, sid)),
                Optional.ofNullable(store.getOfflineUserSession(realm, sid))).flatMap(Optional::stream);
    }

    private static List<UserSessionModel> liveOldSessions(KeycloakSession session, RealmModel realm, UserModel user,
            long watermarkMs) {
        List<UserSessionModel> old = new ArrayList<>();
        // Collected before any is removed: both streams read from the store that the removal changes.
        UserSessionProvider store = SessionGate.store(session);
        store.getUserSessionsStream(realm, user).forEach(old::add);
        store.getOfflineUserSessionsStream(realm, user).forEach(old::add);
        old.removeIf(s -> Logins.began(s) > watermarkMs);
        return old;
    }

    private static Map<String, ListedSession> withLedger(KeycloakSession session, RealmModel realm, UserModel user,
            OutboxRow event, List<UserSessionModel> live) {
        Map<String, ListedSession> found = Ledger.before(session, realm, event.userId, event.watermarkMs);
        listed(session, realm, user, live, event.iss, found.keySet()).forEach(listed -> found.putIfAbsent(listed.key(), listed));
        return found;
    }

    /** Live sessions that the ledger does not know: from before the extension was installed. */
    private static List<ListedSession> listed(KeycloakSession session, RealmModel realm, UserModel user,
            List<UserSessionModel> old, String issuer, Set<String> known) {
        return old.stream()
                .flatMap(userSession -> userSession.getAuthenticatedClientSessions().values().stream())
                .filter(clientSession -> RelyingParty.isOidc(clientSession.getClient()) && !known.contains(
                        ListedSession.key(clientSession.getClient().getId(), clientSession.getUserSession().getId())))
                .map(clientSession -> listed(session, realm, user, clientSession, issuer)).toList();
    }

    private static ListedSession listed(KeycloakSession session, RealmModel realm, UserModel user,
            AuthenticatedClientSessionModel clientSession, String issuer) {
        ClientModel client = clientSession.getClient();
        UserSessionModel userSession = clientSession.getUserSession();
        LogoutToken claims;
        try {
            claims = RelyingParty.claims(session, user, clientSession, issuer);
        } catch (RuntimeException e) {
            LOG.warnf("Client %s: Keycloak cannot make its tokens (%s); its logout token will name the user's own id. "
                    + "Check the client's protocol mappers.", client.getClientId(), e.getClass().getSimpleName());
            claims = RelyingParty.plainClaims(user, clientSession, issuer);
        }
        return new ListedSession(client.getId(), userSession.getId(), RelyingParty.algorithm(realm, client),
                RelyingParty.logoutUri(session, client), RelyingParty.sessionRequired(client), userSession.isOffline(),
                Math.floorDiv(Logins.began(userSession), 1000L), RelyingParty.latestEnd(realm, client, userSession),
                TokenEncryption.isWanted(client), claims);
    }

    static void writeRows(EntityManager em, OutboxRow template, List<ListedSession> sessions) {
        List<List<ListedSession>> parts = parts(sessions);
        for (int part = 0; part < parts.size(); part++) {
            List<ListedSession> listed = parts.get(part);
            OutboxRow row = template.copy();
            row.jti = Ids.next();
            row.part = part + 1;
            row.parts = parts.size();
            fill(row, listed);
            em.persist(row);
        }
    }

    private static void fill(OutboxRow row, List<ListedSession> listed) {
        row.sessions = ListedSession.write(listed);
        row.lastEnd = listed.stream().mapToLong(ListedSession::latestEnd).max().orElse(0);
        row.openSessions = row.shadow ? 0 : (int) listed.stream().filter(s -> s.logoutUri() != null).count();
    }

    /** At least one part, even of a subject without sessions: the event itself is reported too. */
    static List<List<ListedSession>> parts(List<ListedSession> sessions) {
        List<List<ListedSession>> parts = new ArrayList<>();
        for (int from = 0; from == 0 || from < sessions.size(); from += PART_SIZE) {
            parts.add(sessions.subList(from, Math.min(from + PART_SIZE, sessions.size())));
        }
        return parts;
    }
}
