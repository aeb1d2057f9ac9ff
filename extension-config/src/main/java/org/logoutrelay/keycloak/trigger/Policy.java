package org.logoutrelay.keycloak.trigger;

import java.util.Arrays;
import java.util.Collection;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

import org.jboss.logging.Logger;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.RoleModel;
import org.keycloak.models.UserModel;
import org.logoutrelay.keycloak.base.Jpa;

/**
 * What a trigger causes, by the realm's attributes {@code logout-relay.*}. It lives in the realm and not at the relay, so
 * that a stolen relay cannot change it, and is read in the transaction and past the cache, so that a node that has not
 * heard of a change yet does not act by the old one.
 */
public final class Policy {
    private static final Logger LOG = Logger.getLogger(Policy.class);
    static final String PREFIX = "logout-relay.";
    private static final String OF_TRIGGER = PREFIX + "policy.";
    private static final String ASK = "ask";
    private static final String MODE = PREFIX + "mode";
    private static final String PRIVILEGED_ROLES = PREFIX + "privileged.roles";
    private static final String SPARED_CLIENTS = PREFIX + "spare-offline.clients";
    private static final String CLIENTS = PREFIX + "clients";
    private static final String CLIENTS_DEFAULT = "logout-relay-operator";
    /** Those that come with every realm: everybody logs in to them. */
    private static final Set<String> OF_KEYCLOAK = Set.of("account", "account-console", "admin-cli", "broker",
            "realm-management", "security-admin-console");
    private static final String STEP_UP_USERS = PREFIX + "step-up.users";
    private static final String FACTOR_WINDOW = PREFIX + "recent-factors.window";
    private static final String FACTOR_WINDOW_DEFAULT = "86400";
    private static final String OPERATOR_LIMIT = PREFIX + "operator.limit";
    private static final String OPERATOR_LIMIT_DEFAULT = "20";
    private static final String OPERATOR_WINDOW = PREFIX + "operator.window";
    private static final String OPERATOR_WINDOW_DEFAULT = "3600";
    private static final String DIRECTORY_LIMIT = PREFIX + "directories.limit";
    private static final String DIRECTORY_LIMIT_DEFAULT = "100";
    private static final String DIRECTORY_CLOCK = PREFIX + "directories.clock";
    private static final String UPSTREAM_LIMIT = PREFIX + "upstreams.limit";
    private static final String UPSTREAM_LIMIT_DEFAULT = "100";
    private static final String UPSTREAM_WINDOW = PREFIX + "upstreams.window";
    private static final String UPSTREAM_WINDOW_DEFAULT = "3600";
    private static final String UPSTREAM_EMAIL = PREFIX + "upstreams.email";
    private static final String UPSTREAM_TOLD = PREFIX + "upstreams.told";
    private static final String DOWNSTREAM_CLIENTS = PREFIX + "downstreams.clients";
    private static final String PRIVILEGED_DEFAULT = "admin, realm-management/realm-admin, realm-management/manage-users,"
            + " realm-management/manage-realm, realm-management/manage-clients, realm-management/impersonation";

    /** What a containment does beyond ending the sessions. */
    public enum Step {
        /** Revokes the consents, so that every client has to ask again. */
        CONSENTS,
        /** Takes back what the user has shared with others (UMA 2.0): whoever had the account may have let themselves in. */
        SHARES,
        /** Removes the tokens that brokered identity providers have issued to the user and Keycloak has stored. */
        BROKER_TOKENS,
        /** Removes the links to identity providers: who has an account there that is linked needs no password here. */
        IDENTITY_PROVIDERS,
        /** Of a privileged user, removes the factors that were added within a window before the event. */
        RECENT_FACTORS,
        /** Removes every credential but the password. */
        FACTORS,
        /** Removes the recovery codes. */
        RECOVERY_CODES,
        /** Leaves the offline tokens of named clients alive, and so sets no not-before: {@link #sparedClients}. */
        SPARE_OFFLINE,
        /** Tells named identity providers that the user is linked to: {@link #toldAliases}. */
        TELL_UPSTREAMS,
        /** Has the user, by default only a privileged one, owe a second factor: {@code StepUp}. */
        STEP_UP,
        /** Of a client: ends the tokens that people have at it, too. */
        PEOPLE,
        /** Of a client: withdraws its registration access token, which reads its secret and sets another. */
        REGISTRATION_TOKEN;

        private static final Set<Step> OF_CLIENTS = EnumSet.of(PEOPLE, REGISTRATION_TOKEN);

        static Optional<Step> of(String name) {
            return Arrays.stream(values()).filter(step -> step.word().equals(name)).findFirst();
        }

        /** Steps for people mean nothing for clients, nor the other way round. */
        boolean fits(Trigger trigger) {
            return OF_CLIENTS.contains(this) == trigger.isOfClient();
        }

        static String all(Trigger trigger) {
            return Arrays.stream(values()).filter(step -> step.fits(trigger)).map(Step::word).collect(Collectors.joining(", "));
        }

        public String word() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }
    }

    private final Map<String, String> attributes;

    Policy(Map<String, String> attributes) {
        this.attributes = attributes;
    }

    public static Policy of(KeycloakSession session, RealmModel realm) {
        Map<String, String> attributes = new TreeMap<>();
        Jpa.em(session).createQuery("select a.name, a.value from RealmAttributeEntity a where a.realm.id = :realm"
                + " and a.name like 'logout-relay.%'", Object[].class).setParameter("realm", realm.getId())
                .getResultStream().forEach(row -> attributes.put((String) row[0], (String) row[1]));
        return new Policy(attributes);
    }

    /** Whether everything is found and reported, and nothing ended. */
    public boolean isShadow() {
        return "shadow".equals(trimmed(MODE));
    }

    /** Whether the trigger causes anything. */
    public boolean acts(Trigger trigger) {
        return steps(trigger).isPresent();
    }

    /** The steps beyond ending the sessions, or empty where the trigger causes nothing. */
    public Optional<Set<Step>> steps(Trigger trigger) {
        String name = OF_TRIGGER + trigger.id();
        return trimmed(name) == null || asks(trigger) ? Optional.ofNullable(trigger.steps()) : steps(trigger, name);
    }

    /**
     * The same where an identity provider has said it: what is set for its alias counts in place of what is set for all.
     *
     * @param aliases those that the user is linked to of the issuer that has; of several what any of them causes
     */
    public Optional<Set<Step>> steps(Trigger trigger, Collection<String> aliases) {
        return aliases.isEmpty() ? steps(trigger) : aliases.stream().map(alias -> {
            String name = OF_TRIGGER + trigger.id() + "." + alias;
            return trimmed(name) == null ? steps(trigger) : steps(trigger, name);
        }).flatMap(Optional::stream).reduce((one, other) -> Stream.of(one, other).flatMap(Set::stream).collect(Collectors.toSet()));
    }

    /** As this attribute, which is there, has them. */
    private Optional<Set<Step>> steps(Trigger trigger, String name) {
        String text = trimmed(name);
        if (text.equals("off")) {
            return Optional.empty();
        }
        Set<Step> steps = EnumSet.noneOf(Step.class);
        for (String word : words(text)) {
            Optional<Step> step = Step.of(word);
            if (step.isEmpty() && !word.equals("sessions")) {
                // It cannot be set that way; whoever wrote it past Keycloak gets what is safer than nothing.
                LOG.errorf("Realm attribute %s has the unknown step '%s'; the default counts", name, word);
                return Optional.of(trigger.steps() == null ? Set.of() : trigger.steps());
            }
            step.ifPresent(steps::add);
        }
        return Optional.of(steps);
    }

    /** All that is in force: the steps of each trigger by its id, and the other settings. So changes of it can be seen. */
    public Map<String, String> inForce() {
        Map<String, String> all = new TreeMap<>();
        for (Trigger trigger : Trigger.ALL) {
            all.put(trigger.id(), asks(trigger) ? ASK : shown(steps(trigger)));
        }
        ofAliases().forEach((name, of) -> all.put(of.trigger().id() + "." + of.alias(), shown(steps(of.trigger(), name))));
        String roles = trimmed(PRIVILEGED_ROLES);
        all.put("mode", isShadow() ? "shadow" : "enforce");
        all.put("privileged.roles", roles == null ? PRIVILEGED_DEFAULT : roles);
        all.put("clients", String.join(", ", clients()));
        all.put("spare-offline.clients", String.join(", ", words(attributes.getOrDefault(SPARED_CLIENTS, ""))));
        all.put("step-up.users", stepsUpEverybody() ? "all" : "privileged");
        all.put("recent-factors.window", String.valueOf(recentFactorsWindowMs() / 1000));
        all.put("directories.limit", String.valueOf(directoryLimit()));
        all.put("directories.clock", directoryClock() == null ? "" : directoryClock());
        all.put("upstreams.limit", String.valueOf(upstreamLimit()));
        all.put("upstreams.window", String.valueOf(upstreamWindowMs() / 1000));
        all.put("upstreams.email", String.join(", ", words(attributes.getOrDefault(UPSTREAM_EMAIL, ""))));
        all.put("upstreams.told", String.join(", ", words(attributes.getOrDefault(UPSTREAM_TOLD, ""))));
        all.put("downstreams.clients", String.join(", ", words(attributes.getOrDefault(DOWNSTREAM_CLIENTS, ""))));
        all.put("operator.limit", String.valueOf(operatorLimit()));
        all.put("operator.window", String.valueOf(operatorWindowMs() / 1000));
        return all;
    }

    private static String shown(Optional<Set<Step>> causes) {
        return causes.map(steps -> Stream.concat(Stream.of("sessions"), steps.stream().map(Step::word))
                .collect(Collectors.joining(", "))).orElse("off");
    }

    /** What is set for one identity provider alone. */
    private record OfAlias(Trigger trigger, String alias) {
        /** Of an attribute's name without its beginning; empty where it is for all. */
        static Optional<OfAlias> of(String rest) {
            int dot = rest.indexOf('.');
            return dot < 0 ? Optional.empty() : Trigger.ALL.stream().filter(one -> one.id().equals(rest.substring(0, dot))
                    && one.isOfUpstream()).findFirst().map(trigger -> new OfAlias(trigger, rest.substring(dot + 1)));
        }
    }

    /** By the name of the attribute. */
    private Map<String, OfAlias> ofAliases() {
        Map<String, OfAlias> found = new TreeMap<>();
        attributes.keySet().stream().filter(name -> name.startsWith(OF_TRIGGER) && trimmed(name) != null)
                .forEach(name -> OfAlias.of(name.substring(OF_TRIGGER.length())).ifPresent(of -> found.put(name, of)));
        return found;
    }

    /**
     * The settings for identity providers that the realm does not have: somebody has misspelt an alias, or it is gone. They are
     * not refused, since who sets up a realm may give it its attributes first.
     *
     * @return {@code attribute} and {@code alias} of each
     */
    public List<Map<String, String>> ofNobody(Predicate<String> isAlias) {
        return Stream.concat(ofAliases().entrySet().stream().map(of -> Map.of("attribute", of.getKey(), "alias", of.getValue().alias())),
                Stream.of(UPSTREAM_EMAIL, UPSTREAM_TOLD).flatMap(attribute -> words(attributes.getOrDefault(attribute, "")).stream()
                        .map(alias -> Map.of("attribute", attribute, "alias", alias))))
                .filter(setting -> !isAlias.test(setting.get("alias"))).toList();
    }

    /** Whether it waits for a person's word. */
    public boolean asks(Trigger trigger) {
        String text = trimmed(OF_TRIGGER + trigger.id());
        return trigger == Trigger.REALM_LOGOUT && (text == null || text.equals(ASK));
    }

    public long recentFactorsWindowMs() {
        return number(FACTOR_WINDOW, FACTOR_WINDOW_DEFAULT) * 1000;
    }

    /** How many users may be contained on somebody's word within the window; further ones must be confirmed. */
    public long operatorLimit() {
        return number(OPERATOR_LIMIT, OPERATOR_LIMIT_DEFAULT);
    }

    public long operatorWindowMs() {
        return number(OPERATOR_WINDOW, OPERATOR_WINDOW_DEFAULT) * 1000;
    }

    /** How many users of a directory one look may find changed; more wait for a person's word. */
    public long directoryLimit() {
        return number(DIRECTORY_LIMIT, DIRECTORY_LIMIT_DEFAULT);
    }

    /** A further attribute in which directories of the realm keep the time of a password's change, or null. */
    public String directoryClock() {
        return trimmed(DIRECTORY_CLOCK);
    }

    /** How many users an identity provider's word may contain within the window; further ones wait for a person's word. */
    public long upstreamLimit() {
        return number(UPSTREAM_LIMIT, UPSTREAM_LIMIT_DEFAULT);
    }

    public long upstreamWindowMs() {
        return number(UPSTREAM_WINDOW, UPSTREAM_WINDOW_DEFAULT) * 1000;
    }

    /** Whether the identity provider with this alias may name a user who is linked to it by a verified email address. */
    public boolean namesByEmail(String alias) {
        return words(attributes.getOrDefault(UPSTREAM_EMAIL, "")).contains(alias);
    }

    /** The identity providers, by alias, that are told of a trigger with these steps. */
    public Set<String> toldAliases(Set<Step> steps) {
        return steps.contains(Step.TELL_UPSTREAMS) ? Set.copyOf(words(attributes.getOrDefault(UPSTREAM_TOLD, ""))) : Set.of();
    }

    /** Whether the realm behind this one that takes its logins by this client, by client id, may have them ended. */
    public boolean hearsDownstream(String clientId) {
        return words(attributes.getOrDefault(DOWNSTREAM_CLIENTS, "")).contains(clientId);
    }

    private long number(String name, String otherwise) {
        String text = trimmed(name);
        return Long.parseLong(text != null && text.matches("\\d{1,9}") ? text : otherwise);
    }

    /** The clients, by client id, whose tokens carry the word of a person or a program. */
    public Set<String> clients() {
        String names = trimmed(CLIENTS);
        return new TreeSet<>(words(names == null ? CLIENTS_DEFAULT : names));
    }

    /** The clients, by client id, whose offline tokens outlive a trigger with these steps. */
    public Set<String> sparedClients(Set<Step> steps) {
        String names = trimmed(SPARED_CLIENTS);
        return names == null || !steps.contains(Step.SPARE_OFFLINE) ? Set.of() : Set.copyOf(words(names));
    }

    /** Whether the step {@link Step#STEP_UP} is for everybody, and not for privileged users alone. */
    public boolean stepsUpEverybody() {
        return "all".equals(trimmed(STEP_UP_USERS));
    }

    public boolean isPrivileged(RealmModel realm, UserModel user) {
        return privilegedRoles(realm).anyMatch(user::hasRole);
    }

    /** Roles by name, those of a client as {@code client-id/role}. Names that the realm does not have count for nothing. */
    Stream<RoleModel> privilegedRoles(RealmModel realm) {
        String text = trimmed(PRIVILEGED_ROLES);
        return words(text == null ? PRIVILEGED_DEFAULT : text).stream().map(name -> {
            int slash = name.indexOf('/');
            if (slash < 0) {
                return realm.getRole(name);
            }
            var client = realm.getClientByClientId(name.substring(0, slash));
            return client == null ? null : client.getRole(name.substring(slash + 1));
        }).filter(role -> role != null);
    }

    /**
     * What is wrong with these attributes, or null. A realm is not saved with a policy that means nothing.
     */
    public static String complaint(Map<String, String> attributes) {
        for (Map.Entry<String, String> attribute : attributes.entrySet()) {
            String name = attribute.getKey();
            String value = attribute.getValue() == null ? "" : attribute.getValue().trim();
            if (name.startsWith(OF_TRIGGER)) {
                String id = name.substring(OF_TRIGGER.length());
                Optional<OfAlias> ofAlias = OfAlias.of(id).filter(of -> !of.alias().isBlank());
                Optional<Trigger> trigger = ofAlias.map(OfAlias::trigger)
                        .or(() -> Trigger.ALL.stream().filter(one -> one.id().equals(id)).findFirst());
                if (trigger.isEmpty()) {
                    return name + " names no trigger; there are "
                            + Trigger.ALL.stream().map(Trigger::id).collect(Collectors.joining(", "))
                            + ", and each of those with upstream- also with a dot and an identity provider's alias behind it";
                }
                boolean asks = value.equals(ASK) && id.equals(Trigger.REALM_LOGOUT.id());
                for (String word : asks ? List.<String>of() : words(value)) {
                    if (!value.equals("off") && !word.equals("sessions")
                            && Step.of(word).filter(step -> step.fits(trigger.get())).isEmpty()) {
                        return name + " has the unknown step '" + word + "'; give off, or sessions and any of "
                                + Step.all(trigger.get());
                    }
                }
            } else if (name.equals(MODE) && !value.isEmpty() && !value.equals("shadow") && !value.equals("enforce")) {
                return name + " is '" + value + "'; give enforce or shadow";
            } else if (name.equals(CLIENTS) && words(value).contains("*")) {
                return name + " has '*', which is no client id, and there is no word for all clients; name each";
            } else if (name.equals(CLIENTS) && words(value).stream().anyMatch(OF_KEYCLOAK::contains)) {
                return name + " names a client that comes with Keycloak, and everybody logs in to those; make one of your own";
            } else if (name.equals(STEP_UP_USERS) && !value.isEmpty() && !value.equals("all") && !value.equals("privileged")) {
                return name + " is '" + value + "'; give privileged or all";
            } else if ((name.equals(FACTOR_WINDOW) || name.equals(OPERATOR_WINDOW) || name.equals(UPSTREAM_WINDOW))
                    && !value.matches("\\d{0,9}")) {
                return name + " is not a number of seconds; give, for example, "
                        + (name.equals(FACTOR_WINDOW) ? FACTOR_WINDOW_DEFAULT : OPERATOR_WINDOW_DEFAULT);
            } else if ((name.equals(DIRECTORY_LIMIT) || name.equals(UPSTREAM_LIMIT)) && !value.matches("\\d{0,9}")) {
                return name + " is not a number of users; give, for example, " + DIRECTORY_LIMIT_DEFAULT;
            } else if (name.equals(DIRECTORY_CLOCK) && !value.matches("([A-Za-z][A-Za-z0-9-]*)?")) {
                return name + " is not the name of an attribute; give, for example, krbLastPwdChange";
            } else if (name.equals(OPERATOR_LIMIT) && !value.matches("\\d{0,9}")) {
                return name + " is not a number of users; give, for example, " + OPERATOR_LIMIT_DEFAULT;
            }
        }
        return null;
    }

    private String trimmed(String name) {
        String value = attributes.get(name);
        return value == null || value.isBlank() ? null : value.trim();
    }

    private static List<String> words(String text) {
        return Arrays.stream(text.split(",")).map(String::trim).filter(word -> !word.isEmpty()).toList();
    }
}
