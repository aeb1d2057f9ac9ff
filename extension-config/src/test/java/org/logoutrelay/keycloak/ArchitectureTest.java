package org.logoutrelay.keycloak;

import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

import org.junit.jupiter.api.Test;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaCodeUnit;
import com.tngtech.archunit.core.domain.JavaMethod;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;

import jakarta.ws.rs.ext.Provider;

class ArchitectureTest {
    private static final String ROOT = "org.logoutrelay.keycloak";

    /** Each may use those before it. What each is for stands in its {@code package-info.java}. */
    private static final List<String> FROM_THE_BOTTOM = List.of("base", "client", "gate", "login", "ledger", "workload", "trigger", "rotation",
            "outbox", "containment", "directory", "upstream", "settle", "rest", "spi");

    private static final JavaClasses CLASSES = new ClassFileImporter().withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages(ROOT);

    @Test
    void everyClassIsInOneOfThePackagesByRole() {
        assertEquals(new TreeSet<>(FROM_THE_BOTTOM), CLASSES.stream()
                .filter(one -> !one.getSimpleName().equals("package-info")).map(ArchitectureTest::role)
                .collect(Collectors.toCollection(TreeSet::new)));
    }

    @Test
    void aPackageUsesOnlyThoseBelowIt() {
        assertEquals(List.of(), CLASSES.stream().flatMap(one -> one.getDirectDependenciesFromSelf().stream())
                .filter(uses -> isOurs(uses.getTargetClass()) && height(uses.getTargetClass()) > height(uses.getOriginClass()))
                .map(uses -> uses.getDescription()).toList());
    }

    @Test
    void noPackagesFormACircle() {
        slices().matching(ROOT + ".(*)..").should().beFreeOfCycles().check(CLASSES);
    }

    @Test
    void whatIsPublicIsUsedByAnotherPackageOrByKeycloak() {
        assertEquals(List.of(), CLASSES.stream().filter(ArchitectureTest::isSeenByAll).filter(one -> !isForKeycloak(one))
                .flatMap(one -> Stream.concat(isUsedElsewhere(one) ? Stream.empty() : Stream.of(one.getName()),
                        one.getCodeUnits().stream().filter(ArchitectureTest::isSeenByAll).filter(unit -> !isWritten(one, unit))
                                .filter(unit -> unit.getAccessesToSelf().stream()
                                        .allMatch(access -> role(access.getOriginOwner()).equals(role(one))))
                                .map(JavaCodeUnit::getFullName))).sorted().toList());
    }

    private static boolean isOurs(JavaClass one) {
        return one.getPackageName().startsWith(ROOT);
    }

    private static String role(JavaClass one) {
        return one.getPackageName().equals(ROOT) ? "" : one.getPackageName().substring(ROOT.length() + 1);
    }

    private static int height(JavaClass one) {
        return FROM_THE_BOTTOM.indexOf(role(one));
    }

    private static boolean isSeenByAll(JavaClass one) {
        return one.getModifiers().contains(JavaModifier.PUBLIC);
    }

    private static boolean isSeenByAll(JavaCodeUnit unit) {
        return unit.getModifiers().contains(JavaModifier.PUBLIC) && !unit.getModifiers().contains(JavaModifier.SYNTHETIC);
    }

    private static boolean isUsedElsewhere(JavaClass one) {
        return one.getDirectDependenciesToSelf().stream().anyMatch(used -> !role(used.getOriginClass()).equals(role(one)));
    }

    /** What Keycloak, Hibernate or the REST server reads by reflection. */
    private static boolean isForKeycloak(JavaClass one) {
        return one.isAnnotatedWith(Provider.class) || one.isAssignableTo(org.keycloak.provider.ProviderFactory.class)
                || one.getSimpleName().endsWith("Endpoints") || one.getEnclosingClass().filter(ArchitectureTest::isForKeycloak).isPresent();
    }

    /** Public without a word of ours, or because a type above says so. */
    private static boolean isWritten(JavaClass owner, JavaCodeUnit unit) {
        Set<String> members = owner.getFields().stream().map(field -> field.getName()).collect(Collectors.toSet());
        boolean implied = unit.isConstructor() && unit.getRawParameterTypes().isEmpty() || owner.isRecord() && (unit.isConstructor() || members.contains(unit.getName())
                || Set.of("equals", "hashCode", "toString").contains(unit.getName()))
                || owner.isEnum() && Set.of("values", "valueOf").contains(unit.getName()) || owner.isInterface();
        return implied || unit instanceof JavaMethod && Stream.concat(owner.getAllRawSuperclasses().stream(),
                owner.getAllRawInterfaces().stream()).flatMap(above -> above.getMethods().stream())
                .anyMatch(method -> method.getName().equals(unit.getName())
                        && method.getRawParameterTypes().size() == unit.getRawParameterTypes().size());
    }
}
