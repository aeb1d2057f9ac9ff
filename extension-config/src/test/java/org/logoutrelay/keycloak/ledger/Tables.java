package org.logoutrelay.keycloak.ledger;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

import org.hibernate.Session;
import org.hibernate.SessionFactory;
import org.hibernate.Transaction;
import org.hibernate.cfg.Configuration;
import org.keycloak.common.Profile;
import org.keycloak.connections.jpa.JpaConnectionProvider;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.RealmProvider;
import org.keycloak.models.UserSessionModel;
import org.keycloak.models.UserSessionProvider;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.spi.TablesFactory;

/**
 * Our tables and Keycloak's, of the same entities, in H2 in memory: for what is asked of them. There is one realm, and a
 * store that has some sessions in memory alone.
 */
public final class Tables {
    public static final String REALM = "realm";
    static final int IDLE = 1800;

    /** The session that the store cannot look for. */
    static final String UNREADABLE = "unreadable";
    private static final SessionFactory FACTORY = build();

    private final Set<String> inMemory;

    public Tables(Set<String> inMemory) {
        this.inMemory = inMemory;
        // As the server's option --features-disabled=persistent-user-sessions has it, where there are some.
        Profile.init(Profile.ProfileName.DEFAULT, Map.of(Profile.Feature.PERSISTENT_USER_SESSIONS, inMemory.isEmpty(),
                Profile.Feature.MULTI_SITE, false));
        List.of("LOGOUT_RELAY_LEDGER", "LOGOUT_RELAY_LEDGER_TEMPLATE", "OFFLINE_USER_SESSION", "REALM")
                .forEach(table -> sql("delete from " + table));
        // As the changelog has it, and the entity does not say.
        sql("alter table LOGOUT_RELAY_OUTBOX alter column SESSIONS set data type varchar");
        sql("insert into REALM (ID, NAME) values ('" + REALM + "', 'demo')");
    }

    /** Once for all: there are many of Keycloak's. */
    private static SessionFactory build() {
        Configuration configuration = new Configuration();
        keycloaksOwn().forEach(configuration::addAnnotatedClass);
        new TablesFactory().create(null).getEntities().forEach(configuration::addAnnotatedClass);
        configuration.setProperty("hibernate.connection.url", "jdbc:h2:mem:tables;DB_CLOSE_DELAY=-1;NON_KEYWORDS=VALUE");
        configuration.setProperty("hibernate.hbm2ddl.auto", "create");
        configuration.setProperty("jakarta.persistence.validation.mode", "none");
        return configuration.buildSessionFactory();
    }

    private static Set<Class<?>> keycloaksOwn() {
        try (InputStream file = JpaConnectionProvider.class.getResourceAsStream("/default-persistence.xml")) {
            return Pattern.compile("<class>([^<]+)</class>").matcher(new String(file.readAllBytes(), StandardCharsets.UTF_8))
                    .results().map(found -> classOf(found.group(1))).collect(Collectors.toSet());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static Class<?> classOf(String name) {
        try {
            return Class.forName(name);
        } catch (ClassNotFoundException e) {
            throw new IllegalStateException(e);
        }
    }

    public <T> T in(Function<KeycloakSession, T> task) {
        try (Session em = FACTORY.openSession()) {
            Transaction transaction = em.beginTransaction();
            T result = task.apply(keycloak(em));
            transaction.commit();
            return result;
        }
    }

    int sql(String statement) {
        return in(session -> Jpa.em(session).createNativeQuery(statement).executeUpdate());
    }

    public int template(String hash) {
        return in(session -> {
            TemplateRow row = new TemplateRow();
            row.hash = hash;
            row.realmId = Tables.REALM;
            row.clientUuid = "client";
            row.alg = "RS256";
            row.claims = "{\"iss\":\"https://idp.example.org/realms/demo\",\"aud\":\"orders\"}";
            Jpa.em(session).persist(row);
            return row.id;
        });
    }

    /** Of a login that began after one second. */
    public static LedgerRow row(int template, String user, String sid, long latestEnd) {
        LedgerRow row = new LedgerRow();
        row.template = template;
        row.userId = user;
        row.userKey = Ids.key(user);
        row.sid = sid;
        row.sidKey = Ids.key(sid);
        row.loginBegan = 1000;
        row.latestEnd = latestEnd;
        return row;
    }

    /** As if both users' ids had one key. */
    public static LedgerRow rowOfSameKey(int template, String user, String other, String sid) {
        LedgerRow row = row(template, user, sid, 1);
        row.userKey = Ids.key(other);
        return row;
    }

    public void write(List<LedgerRow> rows) {
        in(session -> {
            rows.forEach(Jpa.em(session)::persist);
            return null;
        });
    }

    private KeycloakSession keycloak(Session em) {
        JpaConnectionProvider jpa = proxy(JpaConnectionProvider.class, (self, method, args) -> em);
        RealmProvider realms = proxy(RealmProvider.class, (self, method, args) -> realm());
        UserSessionProvider store = proxy(UserSessionProvider.class, (self, method, args) -> {
            if (UNREADABLE.equals(args[1])) {
                throw new IllegalStateException("The session cannot be read");
            }
            return inMemory.contains(args[1]) ? proxy(UserSessionModel.class, (session, asked, with) -> null) : null;
        });
        return proxy(KeycloakSession.class, (self, method, args) -> method.getName().equals("realms") ? realms
                : args[0] == JpaConnectionProvider.class ? jpa : store);
    }

    public RealmModel realm() {
        return proxy(RealmModel.class, (self, method, args) -> switch (method.getName()) {
            case "getId", "getName" -> REALM;
            case "getSsoSessionIdleTimeout", "getOfflineSessionIdleTimeout" -> IDLE;
            default -> null;
        });
    }

    private static <T> T proxy(Class<T> type, InvocationHandler handler) {
        return type.cast(Proxy.newProxyInstance(Tables.class.getClassLoader(), new Class<?>[] {type}, handler));
    }
}
