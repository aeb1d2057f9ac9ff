package org.logoutrelay.keycloak.gate;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

import org.jboss.logging.Logger;
import org.keycloak.models.AbstractKeycloakTransaction;
import org.keycloak.models.Constants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.keycloak.sessions.AuthenticationSessionModel;
import org.keycloak.sessions.RootAuthenticationSessionModel;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.DbClock;
import org.logoutrelay.keycloak.base.Jpa;

import jakarta.persistence.LockModeType;

/**
 * The gate's second look, just before a request commits. A reset may have been committed while the request was under way:
 * what the request then writes (a password, an address, a link, a session) is from before, and is refused as a whole.
 *
 * <p>Writes of one user are put in order by the lock on the user's row, which every reset takes as well. So the reset is
 * either seen here, or comes later and finds what was written.
 *
 * <p>Here the tabs get their stamps, too: only now is it known to which of them this request has given a user.
 */
final class AtCommit extends AbstractKeycloakTransaction {
    private static final Logger LOG = Logger.getLogger(AtCommit.class);

    private final KeycloakSession session;
    private final Gate gate;
    private final Map<String, RootAuthenticationSessionModel> browsers = new LinkedHashMap<>();
    private final Map<String, Tabs.Stamp> read = new HashMap<>();
    private final List<Gate.Login> used = new ArrayList<>();
    private final List<Gate.Login> made = new ArrayList<>();
    private boolean enlisted;

    AtCommit(KeycloakSession session, Gate gate) {
        this.session = session;
        this.gate = gate;
    }

    /** A session that the request goes by. */
    void watch(Gate.Login login) {
        used.add(login);
        enlist();
    }

    /** A session that the request has made. */
    void watchNew(Gate.Login login) {
        made.add(login);
        enlist();
    }

    /** A browser whose tabs the request has got, as they are now. */
    void watch(RealmModel realm, RootAuthenticationSessionModel browser) {
        if (browsers.put(browser.getId(), browser) == null) {
            browser.getAuthenticationSessions().values().forEach(tab -> read.put(key(tab), Tabs.Stamp.of(tab)));
        }
        enlist();
    }

    /** What the tab's stamp was when the request read it; of a tab that this request has opened, nothing. */
    Tabs.Stamp asRead(AuthenticationSessionModel tab) {
        return read.getOrDefault(key(tab), new Tabs.Stamp(null, null, null, null, null));
    }

    /**
     * The tab of that browser in which this request logs the user in. Not by the context: signing out other devices leaves
     * another tab there.
     */
    Optional<AuthenticationSessionModel> tab(String browserId, String userId) {
        RootAuthenticationSessionModel browser = browserId == null ? null : browsers.get(browserId);
        if (browser == null) {
            return Optional.empty();
        }
        List<AuthenticationSessionModel> tabs = browser.getAuthenticationSessions().values().stream()
                .filter(tab -> userId.equals(Tabs.userId(tab))).toList();
        AuthenticationSessionModel inContext = session.getContext().getAuthenticationSession();
        String named = inContext != null && inContext.getParentSession() != null
                && inContext.getParentSession().getId().equals(browserId) ? inContext.getTabId()
                : Requests.query(session, Constants.TAB_ID);
        return tabs.stream().filter(tab -> tab.getTabId().equals(named)).findFirst()
                .or(() -> tabs.stream().min(Comparator.comparingLong(tab -> Tabs.beginning(gate, tab).ms())));
    }

    private static String key(AuthenticationSessionModel tab) {
        return tab.getParentSession().getId() + ' ' + tab.getTabId();
    }

    private void enlist() {
        if (enlisted) {
            return;
        }
        enlisted = true;
        try {
            session.getTransactionManager().enlistPrepare(this);
        } catch (IllegalStateException e) {
            // Asked while the request is being committed: nothing comes after that could act on it.
            LOG.debug("Sessions were asked for after the request's own work");
        }
    }

    @Override
    protected void commitImpl() {
        List<Gate.Login> lasting = new ArrayList<>();
        if (Requests.changesSomething(session)) {
            lasting.addAll(used);
        }
        for (RootAuthenticationSessionModel browser : browsers.values()) {
            for (AuthenticationSessionModel tab : browser.getAuthenticationSessions().values()) {
                // A grant at the token endpoint opens a tab for itself, which nobody comes back to.
                if (Requests.grantType(session) == null) {
                    Tabs.login(gate, browser.getRealm(), tab).ifPresent(lasting::add);
                    Tabs.stamp(gate, tab);
                }
            }
        }
        if (!lasting.isEmpty()) {
            lock(lasting);
        }
        lasting.addAll(made);
        gate.deadNow(lasting).forEach(this::refuse);
    }

    private void lock(List<Gate.Login> lasting) {
        try {
            Jpa.em(session).flush();
        } catch (RuntimeException e) {
            AllOrNothing.refuseIfMet(e);
            throw e;
        }
        // Shared, so that requests of one account do not wait for each other; but for a user whom this request contains: a lock
        // that is widened later could wait for another one that does the same.
        lasting.stream().map(Gate.Login::userId).distinct().sorted().forEach(user -> Jpa.lockUser(session, user,
                gate.isClosingOf(user) ? LockModeType.PESSIMISTIC_WRITE : LockModeType.PESSIMISTIC_READ));
    }

    private void refuse(Gate.Login login, WatermarkRow killer) {
        UserModel user = session.users().getUserById(login.realm(), login.userId());
        if (user != null && ClientProof.isBrought(session, user)) {
            throw Refusals.notYet();
        }
        Refusals.count(session, login.realm(), login.userId(), Requests.kind(session), killer);
        // A mail that this request has sent cannot be called back; its link is dead by the watermark that is raised here.
        long now = DbClock.measure(session.getKeycloakSessionFactory());
        KeycloakModelUtils.runJobInTransaction(session.getKeycloakSessionFactory(),
                apart -> Watermarks.raiseForLinks(apart, killer.txn, DbClock.endOfSecond(now)));
        LOG.warnf("A request was refused whose login is from before security event %s, which came in the meantime", killer.txn);
        throw new AllOrNothing.Refusal("The login is from before its user's sessions were ended; log in again");
    }

    @Override
    protected void rollbackImpl() {
        // what was written in the meantime goes with the request's own transaction
    }
}
