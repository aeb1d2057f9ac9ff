package org.logoutrelay.keycloak.settle;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.RealmModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.logoutrelay.keycloak.containment.Listing;
import org.logoutrelay.keycloak.gate.Refusals;
import org.logoutrelay.keycloak.gate.SessionStore;
import org.logoutrelay.keycloak.gate.Spared;
import org.logoutrelay.keycloak.gate.Watermarks;
import org.logoutrelay.keycloak.outbox.Outbox;
import org.logoutrelay.keycloak.outbox.OutboxRow;

/**
 * Tells the relay what the gate has refused since an event, and removes the sessions that were used. The relying
 * parties of one that was stored after the event was listed are told now, and not at the next look.
 */
final class RefusedAfter {
    private RefusedAfter() {
    }

    /** @return the event ({@code txn}) that there is something new to tell of, or null */
    static String tell(KeycloakSessionFactory factory, Refusals.Due due) {
        KeycloakModelUtils.runJobInTransaction(factory, session -> remove(session, due));
        return KeycloakModelUtils.runJobInTransactionWithResult(factory, session -> append(session, due));
    }

    /** The gate has judged them; the cache of some node has brought them back. */
    private static void remove(KeycloakSession session, Refusals.Due due) {
        RealmModel realm = session.realms().getRealm(due.realmId());
        if (realm != null) {
            session.getContext().setRealm(realm);
            due.sids().forEach(sid -> SessionStore.remove(session, new SessionStore.Dead(due.realmId(), sid), Long.MAX_VALUE,
                    Spared.NOTHING));
        }
    }

    private static String append(KeycloakSession session, Refusals.Due due) {
        String txn = due.txn() == null ? Watermarks.newestTxn(session, due.realmId(), due.userId()) : due.txn();
        OutboxRow first = txn == null ? null : Outbox.lockFirstOf(session, txn).orElse(null);
        if (first == null) {
            return null;
        }
        RealmModel realm = session.realms().getRealm(due.realmId());
        if (realm != null && first.isListed()) {
            session.getContext().setRealm(realm);
            Listing.listWhatWasMissed(session, realm, first, 0);
        }
        OutboxRow row = first.supplement();
        row.refusedAfter(due.counts());
        Outbox.append(session, row);
        return txn;
    }
}
