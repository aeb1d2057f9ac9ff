package org.logoutrelay.keycloak.ledger;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

import org.jboss.logging.Logger;
import org.keycloak.common.util.Time;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.base.Json;

/**
 * Finds the template of a login, or makes it. A node knows the ids of those in use, so that a login asks the database for
 * none; and a template that a node may know is not pruned, though no row may be of it yet.
 */
public final class Templates {
    private static final Logger LOG = Logger.getLogger(Templates.class);

    /** A node says this often that a template is in use, and goes by what it knows no longer than that. */
    private static final long SURE_MS = 60L * 60 * 1000;

    /** Of no use to any node for so long, though their clocks differ and a request takes its time. */
    private static final long UNUSED_MS = 24 * SURE_MS;

    private static final int MOST_KNOWN = 10_000;

    private static final Map<String, Known> KNOWN = new ConcurrentHashMap<>();

    private record Known(int id, long nanos) {
        boolean isSure() {
            return System.nanoTime() - nanos < TimeUnit.MILLISECONDS.toNanos(SURE_MS);
        }
    }

    private Templates() {
    }

    /** The id of the template with this content. Whatever is made here stays, though the login may fail. */
    static int idOf(KeycloakSession session, TemplateRow wanted) {
        String hash = hash(wanted);
        Known known = KNOWN.get(hash);
        if (known == null || !known.isSure()) {
            known = new Known(find(session, wanted, hash), System.nanoTime());
            if (KNOWN.size() >= MOST_KNOWN) {
                KNOWN.clear();
            }
            KNOWN.put(hash, known);
        }
        return known.id();
    }

    /** Whatever JSON has for two of them, they are not the same if anything that counts is not. */
    static String hash(TemplateRow template) {
        return Ids.hash(Json.write(Arrays.asList(template.realmId, template.clientUuid, template.offline, template.alg,
                template.encrypted, template.logoutUri, template.claims, template.impersonator)));
    }

    private static int find(KeycloakSession session, TemplateRow wanted, String hash) {
        List<TemplateRow> found = Jpa.em(session).createQuery("select t from TemplateRow t where t.hash = :hash", TemplateRow.class)
                .setParameter("hash", hash).getResultList();
        if (!found.isEmpty() && found.get(0).usedMs > Time.currentTimeMillis() - SURE_MS) {
            return found.get(0).id;
        }
        KeycloakSessionFactory factory = session.getKeycloakSessionFactory();
        Integer id = use(factory, hash);
        if (id != null) {
            return id;
        }
        try {
            make(factory, wanted, hash);
        } catch (RuntimeException e) {
            // Another login was quicker, else there is none below.
            LOG.debugf(e, "The template of a login at client %s could not be made", wanted.clientUuid);
        }
        id = use(factory, hash);
        if (id == null) {
            throw new IllegalStateException("The template of a login at client " + wanted.clientUuid + " could not be stored");
        }
        return id;
    }

    /** Apart from the login: of two that need the same new one neither may fail. @return null if there is none */
    private static Integer use(KeycloakSessionFactory factory, String hash) {
        return KeycloakModelUtils.runJobInTransactionWithResult(factory, apart ->
                Jpa.em(apart).createQuery("update TemplateRow t set t.usedMs = :now where t.hash = :hash")
                        .setParameter("now", Time.currentTimeMillis()).setParameter("hash", hash).executeUpdate() == 0 ? null
                        : Jpa.em(apart).createQuery("select t.id from TemplateRow t where t.hash = :hash", Integer.class)
                                .setParameter("hash", hash).getSingleResult());
    }

    private static void make(KeycloakSessionFactory factory, TemplateRow wanted, String hash) {
        KeycloakModelUtils.runJobInTransaction(factory, apart -> {
            wanted.hash = hash;
            wanted.usedMs = Time.currentTimeMillis();
            Jpa.em(apart).persist(wanted);
        });
    }

    /** Those of which there is no row any more, and which no node may take to be there. */
    public static int prune(KeycloakSession session) {
        return Jpa.em(session).createQuery("delete from TemplateRow t where t.usedMs < :old"
                + " and not exists (select 1 from LedgerRow l where l.template = t.id)")
                .setParameter("old", Time.currentTimeMillis() - UNUSED_MS).executeUpdate();
    }
}
