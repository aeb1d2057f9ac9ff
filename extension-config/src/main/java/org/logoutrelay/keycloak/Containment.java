package org.logoutrelay.keycloak;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
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
import org.keycloak.models.session.UserSessionPersisterProvider;
import org.keycloak.representations.LogoutToken;
import org.keycloak.sessions.AuthenticationSessionProvider;
import org.keycloak.sessions.RootAuthenticationSessionModel;

import jakarta.persistence.EntityManager;

/**
 * What a security event does to its subject at Keycloak. {@link #begin} runs inside the transaction of the change, and
 * {@link #endOldSessions} again after it until nothing old is left.
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
     * Asks Keycloak to remove the subject's sessions, and says what to write with the change: the watermark, the user's
     * not-before, and outbox rows with every session of the subject. Throws where it cannot; the change must then fail.
     *
     * @param flow the login in which the person made the change, or null; it is spared
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
                match.asked() == null ? Ids.next() : match.asked().txn(),
                match.atMs() == null ? Time.currentTimeMillis() : match.atMs(), policy, policy.isShadow());
        if (match.sid() != null) {
            return endOne(act);
        }
        if (flow != null && !act.shadow) {
            Logins.spare(flow.login(), act.watermarkMs);
        }
        boolean privileged = policy.isPrivileged(realm, user);
        List<UserSessionModel> old = liveOldSessions(session, realm, user, act.watermarkMs);
        Spared left = userGoes ? Spared.NOTHING : new Spared(policy.sparedClients(steps.get()));
        // Read now: what ends cannot be asked any more.
        List<String> leftKeys = left.keys(old);
        String leftClients = left.kept(old);
        List<ListedSession> live = new ArrayList<>(listed(session, realm, user, old, issuer));
        Map<String, ListedSession> asOthers = Ledger.openedAsOthers(session, realm, user.getId(), act.watermarkMs);
        if (!act.shadow) {
            remove(session, realm, old, left);
            closeTabs(session, realm, old, flow);
            if (flow != null) {
                makeRoomFor(session, flow.sid());
            }
            endOpenedAsOthers(session, user.getId(), act.watermarkMs);
        }
        return () -> {
            EntityManager em = Ledger.em(session);
            Map<String, ListedSession> sessions = withLedger(session, realm, user, act.watermarkMs, live);
            asOthers.forEach(sessions::putIfAbsent);
            String spared = flow == null ? null : ListedSession.key(flow.clientUuid(), flow.sid());
            // The person's own application goes on under this sid; its logout would end the new login.
            sessions.remove(spared);
            sessions.keySet().removeAll(leftKeys);
            Map<String, Integer> done = Map.of();
            if (!act.shadow) {
                em.persist(Ledger.watermark(realm, user.getId(), act.watermarkMs, act.txn));
                if (!userGoes) {
                    // Not-before compares whole seconds and spares a token of the same second; the removal does not.
                    int seconds = (int) Math.floorDiv(act.watermarkMs, 1000L);
                    // It would end what is spared.
                    if (leftClients == null && session.users().getNotBeforeOfUser(realm, user) < seconds) {
                        session.users().setNotBeforeForUser(realm, user, seconds);
                    }
                    done = new Steps(session, realm, user, policy).run(steps.get(), act.watermarkMs);
                }
            }
            OutboxRow row = row(act, privileged, done);
            row.spared = spared;
            row.sparedOffline = leftClients;
            row.identityProviders = userGoes ? null : linked(session, realm, user);
            writeRows(em, row, List.copyOf(sessions.values()));
            if (privileged && !act.shadow && !userGoes) {
                Watch.begin(em, row);
            }
            return act.txn;
        };
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
        Map<String, ListedSession> sessions = withLedger(session, realm, user, nowMs,
                listed(session, realm, user, old, issuer));
        sessions.keySet().removeAll(new Spared(sparedClients).keys(old));
        return sessions.values();
    }

    /** One session only: no watermark, and nothing of the user's others is touched. */
    private static AllOrNothing.Recording endOne(Act act) {
        List<UserSessionModel> live = withId(act.session, act.realm, act.match.sid()).toList();
        List<ListedSession> listed = listed(act.session, act.realm, act.user, live, act.issuer);
        return () -> {
            Map<String, ListedSession> sessions = Ledger.ofSession(act.session, act.realm, act.user.getId(), act.match.sid());
            listed.forEach(session -> sessions.putIfAbsent(session.key(), session));
            if (sessions.isEmpty()) {
                return null;
            }
            writeRows(Ledger.em(act.session), row(act, false, Map.of()), List.copyOf(sessions.values()));
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
        row.looksFromMs = act.match.atMs() == null ? null : Time.currentTimeMillis();
        row.nextLookMs = act.shadow || act.match.sid() != null ? null : row.looksFromMs() + Outbox.LOOKS_MS[0];
        return row;
    }

    /**
     * Sessions that the txn's rows do not list yet, as a supplementary row. A token issued in the same instant as the
     * reset commits its ledger row after the reset has read the ledger.
     *
     * @param ended how many sessions from before the watermark were still alive at this look
     */
    static void listWhatWasMissed(KeycloakSession session, RealmModel realm, OutboxRow first, int ended) {
        UserModel user = session.users().getUserById(realm, first.userId);
        if (user == null || first.sid != null) {
            return;
        }
        EntityManager em = Ledger.em(session);
        Set<String> listed = new HashSet<>();
        if (first.spared != null) {
            listed.add(first.spared);
        }
        em.createQuery("select o.sessions from OutboxRow o where o.txn = :txn", String.class)
                .setParameter("txn", first.txn).getResultStream()
                .flatMap(json -> ListedSession.read(json).stream()).forEach(s -> listed.add(s.key()));
        List<UserSessionModel> old = liveOldSessions(session, realm, user, first.watermarkMs);
        listed.addAll(Spared.of(first).keys(old));
        List<ListedSession> missed = withLedger(session, realm, user, first.watermarkMs,
                listed(session, realm, user, old, first.iss)).values()
                .stream().filter(s -> !listed.contains(s.key())).toList();
        if (!missed.isEmpty() || ended > 0) {
            OutboxRow row = first.supplement();
            row.survivors = ended;
            writeRows(em, row, missed);
        }
    }

    /**
     * Asks Keycloak to remove every session, online and offline, whose login began before the watermark, and that is not
     * spared. It does so after the commit.
     *
     * @return how many there were; 0 says that they have been seen to be gone
     */
    static int endOldSessions(KeycloakSession session, RealmModel realm, UserModel user, long watermarkMs, Spared left) {
        List<UserSessionModel> old = liveOldSessions(session, realm, user, watermarkMs);
        remove(session, realm, old, left);
        return (int) old.stream().filter(found -> !left.isSpared(found)).count();
    }

    /** The same for the sessions that the user has opened as others, of users who may be gone. */
    static int endOpenedAsOthers(KeycloakSession session, String userId, long watermarkMs) {
        return Ledger.openedAsOthersAnywhere(session, userId, watermarkMs).stream().mapToInt(opened -> {
            RealmModel realm = session.realms().getRealm(opened.realmId());
            return realm == null ? 0 : endOne(session, realm, opened.sid(), watermarkMs);
        }).sum();
    }

    /** The same for one session alone. */
    static int endOne(KeycloakSession session, RealmModel realm, String sid, long watermarkMs) {
        List<UserSessionModel> old = withId(session, realm, sid)
                .filter(found -> Logins.isOld(Logins.began(found), watermarkMs)).toList();
        remove(session, realm, old, Spared.NOTHING);
        return old.size();
    }

    /** The online and the offline session of that id. */
    private static Stream<UserSessionModel> withId(KeycloakSession session, RealmModel realm, String sid) {
        return Stream.of(Optional.ofNullable(session.sessions().getUserSession(realm, sid)),
                Optional.ofNullable(session.sessions().getOfflineUserSession(realm, sid))).flatMap(Optional::stream);
    }

    private static void remove(KeycloakSession session, RealmModel realm, List<UserSessionModel> old, Spared left) {
        for (UserSessionModel userSession : old) {
            if (left.isSpared(userSession)) {
                left.endOthers(userSession);
            } else if (userSession.isOffline()) {
                session.sessions().removeOfflineUserSession(realm, userSession);
            } else {
                session.sessions().removeUserSession(realm, userSession);
            }
        }
    }

    /**
     * Logins that are under way in the browsers of those sessions, but for the one tab that goes on. Each would end in the
     * session that its browser has then, which may be made anew under the same id, and be taken for a part of it.
     */
    private static void closeTabs(KeycloakSession session, RealmModel realm, List<UserSessionModel> old, Flow flow) {
        AuthenticationSessionProvider logins = session.authenticationSessions();
        old.stream().filter(found -> !found.isOffline() && (flow == null || !found.getId().equals(flow.sid())))
                .map(found -> logins.getRootAuthenticationSession(realm, found.getId())).filter(Objects::nonNull)
                .forEach(root -> logins.removeRootAuthenticationSession(realm, root));
        if (flow != null) {
            RootAuthenticationSessionModel root = flow.login().getParentSession();
            root.getAuthenticationSessions().keySet().stream().filter(tab -> !tab.equals(flow.login().getTabId())).toList()
                    .forEach(root::removeAuthenticationSessionByTabId);
        }
    }

    /**
     * The person's login goes on under the id of a session that has just been removed. The row of that one is taken away at
     * once: from 26.7 Keycloak would find it, older than ten seconds, and fail instead of making the new one.
     */
    private static void makeRoomFor(KeycloakSession session, String sid) {
        session.getProvider(UserSessionPersisterProvider.class).removeUserSession(sid, false);
    }

    private static List<UserSessionModel> liveOldSessions(KeycloakSession session, RealmModel realm, UserModel user,
            long watermarkMs) {
        List<UserSessionModel> old = new ArrayList<>();
        // Collected before any is removed: both streams read from the store that the removal changes.
        session.sessions().getUserSessionsStream(realm, user).forEach(old::add);
        session.sessions().getOfflineUserSessionsStream(realm, user).forEach(old::add);
        old.removeIf(s -> !Logins.isOld(Logins.began(s), watermarkMs));
        return old;
    }

    /** Those the ledger knows, and live ones that it does not (from before the extension was installed). */
    private static Map<String, ListedSession> withLedger(KeycloakSession session, RealmModel realm, UserModel user,
            long watermarkMs, List<ListedSession> live) {
        Map<String, ListedSession> found = Ledger.before(session, realm, user.getId(), watermarkMs);
        live.forEach(listed -> found.putIfAbsent(listed.key(), listed));
        return found;
    }

    private static List<ListedSession> listed(KeycloakSession session, RealmModel realm, UserModel user,
            List<UserSessionModel> old, String issuer) {
        return old.stream()
                .flatMap(userSession -> userSession.getAuthenticatedClientSessions().values().stream())
                .filter(clientSession -> RelyingParty.isOidc(clientSession.getClient()))
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
                Math.floorDiv(Logins.began(userSession), 1000L), RelyingParty.latestEnd(realm, client, userSession), claims);
    }

    static void writeRows(EntityManager em, OutboxRow template, List<ListedSession> sessions) {
        List<List<ListedSession>> parts = parts(sessions);
        for (int part = 0; part < parts.size(); part++) {
            List<ListedSession> listed = parts.get(part);
            OutboxRow row = template.copy();
            row.jti = Ids.next();
            row.part = part + 1;
            row.parts = parts.size();
            row.sessions = ListedSession.write(listed);
            row.lastEnd = listed.stream().mapToLong(ListedSession::latestEnd).max().orElse(0);
            row.openSessions = template.shadow ? 0 : (int) listed.stream().filter(s -> s.logoutUri() != null).count();
            em.persist(row);
        }
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
