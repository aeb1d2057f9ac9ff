package org.logoutrelay.keycloak.directory;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

import javax.naming.NamingEnumeration;
import javax.naming.NamingException;
import javax.naming.PartialResultException;
import javax.naming.directory.Attribute;
import javax.naming.directory.Attributes;
import javax.naming.directory.SearchControls;
import javax.naming.directory.SearchResult;
import javax.naming.ldap.LdapContext;
import javax.naming.ldap.LdapName;

import org.keycloak.common.util.MultivaluedHashMap;
import org.keycloak.component.ComponentModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.LDAPConstants;
import org.keycloak.storage.ldap.LDAPConfig;
import org.keycloak.storage.ldap.idm.store.ldap.LDAPContextManager;
import org.keycloak.storage.ldap.idm.store.ldap.LDAPUtil;

/**
 * An LDAP server, asked by the settings that Keycloak has for it, and with the same filters: whom Keycloak does not find is
 * not there. Only read; no password, and no hash of one, is asked for.
 */
final class Directory implements AutoCloseable {
    /** Users in one search. */
    private static final int BATCH = 100;

    /** Where Keycloak's settings have none, nothing would ever end the wait for a server that has stopped answering. */
    private static final String TIMEOUT_MS = "10000";

    /** MS-ADTS §2.2.16, ADS_UF_ACCOUNT_DISABLE. */
    private static final int ACCOUNT_DISABLE = 2;
    private static final String ACCOUNT_CONTROL = "userAccountControl";

    /** draft-behera-ldap-password-policy §5.3.3: this time is for good; any other is what guessing passwords does. */
    private static final String LOCKED_TIME = "pwdAccountLockedTime";
    private static final String LOCKED_FOR_GOOD = "000001010000Z";

    /** Of 389 Directory Server and FreeIPA. */
    private static final String ACCOUNT_LOCK = "nsAccountLock";

    private static final Pattern UUID_FORM = Pattern.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}");

    /** Where a server tells its time: Active Directory; OpenLDAP with the monitor; 389 Directory Server. */
    private static final List<Map.Entry<String, String>> TIMES = List.of(Map.entry("", "currentTime"),
            Map.entry("cn=Current,cn=Time,cn=Monitor", "monitorTimestamp"), Map.entry("cn=monitor", "currentTime"));

    /** @param clock as {@link PasswordClock#kept} */
    record Entry(String clock, boolean disabled) {
    }

    private final LDAPConfig config;
    private final LDAPContextManager connection;
    private final LdapContext context;
    private final List<String> clocks;

    private Directory(LDAPConfig config, LDAPContextManager connection, List<String> clocks) throws NamingException {
        this.config = config;
        this.connection = connection;
        this.context = connection.getLdapContext();
        this.clocks = clocks;
    }

    /** @param named a further attribute that may have the time of a password's change, or null */
    static Directory open(KeycloakSession session, ComponentModel provider, String named) throws NamingException {
        MultivaluedHashMap<String, String> settings = new MultivaluedHashMap<>(provider.getConfig());
        for (String timeout : List.of(LDAPConstants.CONNECTION_TIMEOUT, LDAPConstants.READ_TIMEOUT)) {
            String set = settings.getFirst(timeout);
            if (set == null || set.isBlank()) {
                settings.putSingle(timeout, TIMEOUT_MS);
            }
        }
        // A connection of a pool has the timeouts of whoever has opened it.
        settings.putSingle(LDAPConstants.CONNECTION_POOLING, "false");
        LDAPConfig config = new LDAPConfig(settings);
        List<String> clocks = new ArrayList<>(PasswordClock.ATTRIBUTES);
        Optional.ofNullable(named).ifPresent(attribute -> clocks.add(0, attribute));
        LDAPContextManager connection = LDAPContextManager.create(session, config);
        try {
            return new Directory(config, connection, clocks);
        } catch (NamingException | RuntimeException e) {
            connection.close();
            throw e;
        }
    }

    /**
     * The entries of those who are there.
     *
     * @param ids what Keycloak calls {@code LDAP_ID}, or user names
     */
    Map<String, Entry> entries(Collection<String> ids, boolean byName) throws NamingException {
        String key = byName ? config.getUsernameLdapAttribute() : config.getUuidLDAPAttributeName();
        Map<String, String> asked = ids.stream().collect(Collectors.toMap(id -> id.toLowerCase(Locale.ROOT), Function.identity(), (a, b) -> a));
        Map<String, Entry> found = new HashMap<>();
        List<String> all = List.copyOf(asked.values());
        for (int from = 0; from < all.size(); from += BATCH) {
            List<String> some = all.subList(from, Math.min(from + BATCH, all.size()));
            String any = some.stream().map(id -> "(" + key + "=" + value(id, byName) + ")").collect(Collectors.joining("", "(|", ")"));
            for (Attributes entry : search(any, 0, attributes(key))) {
                String id = asked.get(id(entry.get(key), byName).toLowerCase(Locale.ROOT));
                if (id != null) {
                    found.put(id, entry(entry));
                }
            }
        }
        return found;
    }

    /** Whether there is any user at all: where there is none, the directory has not been looked at but missed. */
    boolean hasUsers() throws NamingException {
        return !search("", 1, "1.1").isEmpty();
    }

    /** Milliseconds since the epoch, the beginning of the second that the server says it has; empty where it does not. */
    OptionalLong timeMs() {
        for (Map.Entry<String, String> place : TIMES) {
            try {
                Attribute time = context.getAttributes(new LdapName(place.getKey()), new String[] {place.getValue()}).get(place.getValue());
                OptionalLong ms = time == null ? OptionalLong.empty() : PasswordClock.latestMs(String.valueOf(time.get()));
                if (ms.isPresent()) {
                    return OptionalLong.of(Math.floorDiv(ms.getAsLong(), 1000L) * 1000);
                }
            } catch (NamingException e) {
                // Not there, or not for us: the next may be.
                continue;
            }
        }
        return OptionalLong.empty();
    }

    private String[] attributes(String key) {
        List<String> attributes = new ArrayList<>(clocks);
        attributes.addAll(List.of(key, ACCOUNT_CONTROL, LOCKED_TIME, ACCOUNT_LOCK));
        return attributes.toArray(String[]::new);
    }

    private List<Attributes> search(String filter, int most, String... attributes) throws NamingException {
        SearchControls controls = new SearchControls(config.getSearchScope(), most, Integer.parseInt(TIMEOUT_MS), attributes, false, false);
        List<Attributes> found = new ArrayList<>();
        NamingEnumeration<SearchResult> results = context.search(new LdapName(config.getUsersDn()), "(&" + users() + filter + ")", controls);
        try {
            while ((most == 0 || found.size() < most) && results.hasMore()) {
                found.add(results.next().getAttributes());
            }
        } catch (PartialResultException e) {
            // At the root of Active Directory references to other places follow what was found; nobody follows them.
            if (!config.isActiveDirectory()) {
                throw e;
            }
        } finally {
            results.close();
        }
        return found;
    }

    private String users() {
        String custom = config.getCustomUserSearchFilter();
        return config.getUserObjectClasses().stream().map(name -> "(objectClass=" + escaped(name) + ")").collect(Collectors.joining())
                + (custom == null ? "" : custom.trim());
    }

    private Entry entry(Attributes entry) throws NamingException {
        String clock = PasswordClock.NONE;
        for (String attribute : clocks) {
            String value = text(entry, attribute);
            if (value != null) {
                clock = PasswordClock.kept(value);
                break;
            }
        }
        String control = text(entry, ACCOUNT_CONTROL);
        boolean disabled = control != null && control.matches("\\d{1,9}") && (Integer.parseInt(control) & ACCOUNT_DISABLE) != 0
                || LOCKED_FOR_GOOD.equals(text(entry, LOCKED_TIME)) || "true".equalsIgnoreCase(text(entry, ACCOUNT_LOCK));
        return new Entry(clock, disabled);
    }

    private static String text(Attributes entry, String name) throws NamingException {
        Attribute attribute = entry.get(name);
        return attribute == null || attribute.size() == 0 ? null : String.valueOf(attribute.get());
    }

    private String value(String id, boolean byName) {
        if (!byName && (config.isObjectGUID() || config.isEdirectoryGUID()) && !UUID_FORM.matcher(id).matches()) {
            // Of nobody: what is no id of this directory must not fail the look at all others.
            return "\\00";
        }
        return !byName && config.isObjectGUID() ? LDAPUtil.convertObjectGUIDToByteString(LDAPUtil.encodeObjectGUID(id))
                : !byName && config.isEdirectoryGUID() ? LDAPUtil.convertObjectGUIDToByteString(LDAPUtil.encodeObjectEDirectoryGUID(id))
                : escaped(id);
    }

    private String id(Attribute attribute, boolean byName) throws NamingException {
        Object value = attribute == null ? "" : attribute.get();
        return value instanceof byte[] bytes
                ? config.isObjectGUID() && !byName ? LDAPUtil.decodeObjectGUID(bytes) : LDAPUtil.decodeGuid(bytes) : String.valueOf(value);
    }

    /** RFC 4515 §3. */
    private static String escaped(String text) {
        StringBuilder escaped = new StringBuilder();
        for (char c : text.toCharArray()) {
            escaped.append(c == '\\' || c == '*' || c == '(' || c == ')' || c == 0 ? String.format("\\%02x", (int) c) : String.valueOf(c));
        }
        return escaped.toString();
    }

    @Override
    public void close() {
        connection.close();
    }
}
